;; API §9, export to C, from Lisp: the option `:export` of defcallback. What C programs do with it is in test_export.py.

(require epsilon [defcallback])
(import hy pytest
  epsilon.exported [exports-of])

(defcallback doubled :int ((n :int)) :export "test_export_doubled" :on-error -1
  "Twice as much."
  (* 2 n))

(defn test-an-exported-callback-is-a-callback []
  (assert (= (doubled 4) 8))
  (setv found (get (exports-of __name__) "test_export_doubled"))
  (assert (is found.callback doubled))
  (assert (= found.names #("n")))
  (assert (= found.on-error -1)))

(defn test-native-code-is-exported-by-its-own-name []
  (with [error (pytest.raises SyntaxError :match "native code is exported by its own name")]
    (hy.eval '(do (require epsilon [defcallback])
                  (defcallback f :int () :native True :export "f" 1)))))

"The words of ``docs/tools.md`` in Hy: ``:header``, ``:lazy``, ``expect-layout``."

(import
  pytest
  epsilon [HeaderError compiler expect-layout]
  epsilon.lazy [attributes])
(require epsilon [declare-c define-c-struct define-c-type defshared defshared-with-errno])

(defn refused [text]
  "What is said of a form that cannot be compiled."
  (with [caught (pytest.raises SyntaxError)]
    (hy.eval (hy.read-many (+ "(do (require epsilon [defshared]) " text ")"))))
  (str caught.value))

(setv needs-compiler
  (pytest.mark.skipif (not (compiler.is-there)) :reason "reading headers takes a C compiler"))

(defn [needs-compiler] test-a-form-is-held-against-its-header []
  (setv right "(defshared right \"abs\" \"libc\" :int (n :int) :header \"stdlib.h\")")
  (hy.eval (hy.read-many (+ "(do (require epsilon [defshared]) " right ")")))
  (setv said (refused "(defshared wrong \"abs\" \"libc\" :int (n :long) :header \"stdlib.h\")"))
  (assert (in "parameter 1 (n) is long, in C it is int: 8 bytes, 4 in C" said)))

(define-c-type tool-number :int)
(declare-c "tool_number abs(tool_number n);  long labs(long n);" :library "libc" :as lazily :lazy True)

(defn test-a-lazy-block []
  (assert (= (lazily.abs -3) 3))
  (assert (= (list lazily.functions) ["abs" "labs"]))
  (setv module {"__name__" "here"}
        [find names] (attributes module lazily :names {"long-abs" "labs"}))
  (assert (= ((find "long-abs") -4) 4))
  (assert (in "long-abs" module))
  (assert (= (sorted (names)) ["__name__" "abs" "long-abs"]))
  (with [_ (pytest.raises AttributeError :match "has no attribute 'asb'")]
    (find "asb")))

(define-c-struct tool-pair (c :char) (d :double))

(defn test-a-layout-that-is-expected []
  (expect-layout tool-pair 16 8 {"c" 0 "d" 8})
  (with [_ (pytest.raises HeaderError :match "not 12, aligned to 4; d is at byte 8, not at byte 4")]
    (expect-layout tool-pair 12 4 {"c" 0 "d" 4})))

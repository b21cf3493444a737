"Headers from Hy: `import-header`; ``test_import_header.py`` has the details."

(import epsilon
        epsilon [foreign-string]
        os)
(import pytest)
(require epsilon [defcallback define-c-struct-auto deref foreign-alloc import-header])

(import-header "stdlib.h" :library "libc" :as c)
(import-header ["fcntl.h" "unistd.h" "errno.h"] :library "libc" :as posix
  :include ["open" "close" "O_*" "E*"]
  :rename {open open-file}
  :prefix "O-"
  :errno True :check nonnegative)
(import-header "time.h" :library ["libc"] :as clock :defines {_GNU-SOURCE None} :exclude "asctime*")

(defn test-everything-is-an-attribute []
  (assert (= (dict (c.div 17 5)) {"quot" 3  "rem" 2}))
  (assert (= c.EXIT-FAILURE 1))
  (assert (= (c.strtol "12x" None 10) 12))
  (assert (is c.div-t (get c.typedefs "div_t"))))

(defn test-options []
  (with [caught (pytest.raises epsilon.ForeignOSError)]
    (posix.open-file "/no/such/file" posix.RDONLY))
  (assert (= caught.value.code posix.ENOENT))
  (setv file (posix.open-file os.devnull posix.O-RDONLY))
  (assert (= (posix.close file) 0))
  (assert (not-in "read" posix.functions))
  (assert (not-in "asctime" clock.functions)))

(defn test-structs-serve-in-forms []
  (setv moment (clock.tm :tm-year 126 :tm-mday 1))
  (assert (= (clock.timegm moment) 1767225600))
  (setv moments (foreign-alloc clock.tm :count 2))
  (setv (. (get moments 1) tm-hour) 5)
  (assert (= (. (deref moments 1) tm-hour) 5)))

(defcallback by-quotient :int ((a (:pointer c.div-t)) (b (:pointer c.div-t)))
  (- (. (deref a) quot) (. (deref b) quot)))

(defn test-callbacks-take-structs-of-headers []
  (setv both (foreign-alloc c.div-t :count 2 :initial [(c.div 17 5) (c.div 9 5)]))
  (c.qsort both 2 c.div-t.size (fn [a b] (- (deref a 0 :int) (deref b 0 :int))))
  (assert (= (lfor one both one.quot) [1 3]))
  (assert (= (by-quotient (epsilon.pointer-add both 0) (epsilon.pointer-add both 1)) -2)))

(defn test-names-of-macros-and-definitions-are-symbols [tmp-path monkeypatch]
  (monkeypatch.setenv "EPSILON_CACHE" (str (/ tmp-path "cache")))
  (setv header (/ tmp-path "scaled.h"))
  (.write-text header "#define TIMES_TWO(x) ((x) * 2)\n#define SIZE (SCALE * 3)\n")
  (import-header header :as scaled :macros {TIMES-TWO [:double]} :defines {SCALE 5})
  (assert (= scaled.SIZE 15))
  (assert (= (scaled.TIMES-TWO 1.25) 2.5)))

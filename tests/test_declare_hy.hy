"Blocks of C declarations, variables and the C library from Hy; ``test_declare.py`` has the details."

(import epsilon
        epsilon [foreign-string lib-open]
        epsilon.libc [strlen memcpy qsort printf])
(import pytest)
(require epsilon [declare-c defcvar defcallback deref with-foreign-memory])

(setv libc (lib-open "libc"))

(declare-c "
    typedef struct { int quot, rem; } div_t;
    div_t div(int numerator, int denominator);
    int abs(int n);    // a comment
    enum { LIMIT = 3 };
    extern int optind;
  " :library "libc" :as c)

(declare-c "int rmdir(const char *path);" :library libc :as checked :errno True :check nonnegative)

(defcvar environ "environ" "libc" (:pointer :string))
(defcvar optind "optind" libc :int)

(defn test-a-block-is-bound []
  (assert (= (dict (c.div 17 5)) {"quot" 3  "rem" 2}))
  (assert (= (c.abs -3) c.LIMIT))
  (assert (= (list c.functions) ["div" "abs"])))

(defn test-options-hold-for-the-block []
  (with [caught (pytest.raises epsilon.ForeignOSError)]
    (checked.rmdir "/no/such/folder"))
  (assert (= caught.value.function "rmdir")))

(defn test-variables []
  (assert (in "=" (deref environ.value :string)))
  (setv before optind.value
        optind.value 5)
  (assert (= c.optind.value 5))
  (setv optind.value before))

(defn test-the-c-library []
  (assert (= (strlen "hello") 5))
  (with-foreign-memory ((target :char :count 4) (source :char :initial "abc"))
    (memcpy target source 3)
    (assert (= (foreign-string target) "abc")))
  (assert (= printf.__name__ "printf")))

(defcallback compare-ints :int ((a (:in :int)) (b (:in :int)))
  (- a b))

(defn test-c-sorts []
  (with-foreign-memory ((numbers :int :initial [3 1 2]))
    (qsort numbers 3 4 compare-ints)
    (assert (= (list numbers) [1 2 3]))))

(defn test-c-text-may-be-computed []
  (setv text "int abs(int n);")
  (declare-c text :library "libc" :as late)
  (assert (= (late.abs -1) 1))
  (with [_ (pytest.raises epsilon.ForeignTypeError :match "unknown type 'foo'")]
    (declare-c (+ text "int f(foo);") :library "libc" :as late)))

"Memory, structs and buffers from Hy: the sentences of issue 4 that the other files in Hy do not have."

(import copy os pickle subprocess sys
        clib [load-c SHIM]
        epsilon [deref-int foreign-free pointer+ struct-pointer struct-layout-size ForeignIndexError ForeignMemoryError]
        epsilon pytest)
(require epsilon *)

(define-c-struct hy-promise-point (x :int) (y :int))
(define-c-struct hy-promise-line (name :char) (ends (:array hy-promise-point 2)))

(defn test-each-way-into-ended-memory-is-an-error []
  (setv p (foreign-alloc hy-promise-line :count 2)
        ways [p (get p 1) (get (. (get p 1) ends) 1) (pointer+ (. (get p 1) ends) 1) (pointer+ p 1 1)
              (struct-pointer (get p 0)) (cast p (:pointer :char)) (get (cut p 0 2) 1)])
  (foreign-free p)
  (defshared abs-of "memcmp" "libc" :int (a :pointer) (b :pointer) (n :size))
  (for [way ways]
    (with [_ (pytest.raises ForeignMemoryError :match r"after its end: it was freed at .*\.hy:\d+")]
      (abs-of way way 1))
    (with [_ (pytest.raises ForeignMemoryError)] (deref-int way))
    (with [_ (pytest.raises ForeignMemoryError)] (foreign-free way))))

(defn test-match-dict-copy-and-pickle []
  (setv one (hy-promise-point :x 1 :y 2))
  (assert (= (match one (hy-promise-point :x 1 :y y) y  _ None) 2))
  (assert (= (dict one) {"x" 1 "y" 2}))
  (setv other (copy.copy one))
  (setv other.x 5)
  (assert (= [one.x other.x] [1 5]))
  (assert (= (pickle.loads (pickle.dumps one)) one))
  (assert (= (repr one) "hy_promise_point(x=1, y=2)"))
  (assert (= (bytes one) (bytes (hy-promise-point 1 2)))))

(defn test-defined-again []
  (define-c-struct hy-promise-again (x :int))
  (setv old (hy-promise-again :x 1))
  (define-c-struct hy-promise-again (x :int) (y :double))
  (assert (= [(struct-layout-size old) (struct-layout-size hy-promise-again)] [4 16]))
  (assert (= old.x 1))
  (assert (!= old (hy-promise-again :x 1))))

(defn test-arrays-of-structs []
  (setv points (foreign-alloc hy-promise-point :initial [{"x" 1} {"x" 2} {"x" 3}]))
  (assert (= (len points) 3))
  (assert (= (lfor one (cut points 1 None) one.x) [2 3]))
  (setv (get points 1) (hy-promise-point 8 9))
  (assert (= (. (get points 1) y) 9))
  (with [_ (pytest.raises ForeignIndexError)] (get points 3))
  (assert (= (len (bytes points)) 24)))

(defn [(pytest.mark.skipif (not (or SHIM (>= sys.version-info #(3 12)))) :reason "buffers of structs need the shim")]
  test-a-memoryview-holds-its-struct []
  (setv one (hy-promise-point 1 2)
        view (memoryview one))
  (assert (= (.tolist (.cast view "i")) [1 2]))
  (with [_ (pytest.raises ForeignMemoryError :match "a buffer of it")] (foreign-free one))
  (.release view)
  (foreign-free one))

(defn test-two-libraries-with-structs-of-one-name []
  (setv one (load-c "struct hy_same { char c; double d; }; double read(const struct hy_same *s) { return s->d; }")
        two (load-c "struct hy_same { short a, b, c; }; int read(struct hy_same s) { return s.c; }"))
  (define-c-struct hy-same (c :char) (d :double))
  (setv first-same hy-same)
  (defshared read-one "read" one :double (s (:pointer first-same)))
  (define-c-struct hy-same (a :short) (b :short) (c :short))
  (defshared read-two "read" two :int (s hy-same))
  (assert (= [(read-one (first-same :d 2.5)) (read-two (hy-same 1 2 3))] [2.5 3]))
  (with [_ (pytest.raises epsilon.ForeignTypeError)] (read-one (hy-same 1 2 3))))

(defn test-a-pool-grows-or-raises []
  (with [pool (epsilon.Pool ':int :count 4 :capacity 1 :grow False)]
    (setv block (pool.alloc))
    (with [_ (pytest.raises ForeignMemoryError :match "is exhausted")] (pool.alloc))
    (pool.free block)
    (pool.alloc))
  (with [pool (epsilon.Pool ':int :capacity 1)]
    (assert (= (len (sfor _ (range 5) (. (pool.alloc) address))) 1))
    (setv blocks (lfor _ (range 5) (pool.alloc)))
    (assert (= (len (sfor block blocks block.address)) 5))))

(defn test-a-leak-is-printed-at-exit-with-its-line [tmp-path]
  (setv path (/ tmp-path "leak.hy")
        root (os.path.dirname (os.path.dirname epsilon.__file__)))
  (.write-text path "(import epsilon)\n(require epsilon *)\n\n(setv p (foreign-alloc :int :count 3))\n")
  (setv done (subprocess.run [sys.executable "-c" "import hy, leak"] :capture-output True :text True :check True
                             :env {#** os.environ "EPSILON_CHECK" "1" "PYTHONPATH" f"{root}:{tmp-path}"}))
  (assert (in "1 block of foreign memory is live at exit:" done.stderr))
  (assert (in f"{path}:4" done.stderr)))

(defn test-pragma-pack-in-declare-c []
  (declare-c "
#pragma pack(push, 1)
struct hy_packed { char c; double d; };
#pragma pack(pop)
struct hy_plain { char c; double d; };
" :library "libc" :as packing)
  (assert (= [packing.hy-packed.size packing.hy-plain.size] [9 16])))

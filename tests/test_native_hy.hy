;; API §9 from Lisp: natives do what their Lisp says, called from Lisp and from C, compiled and interpreted.

(require epsilon [cast defcallback define-c-struct define-c-union define-c-enum defnative defshared foreign-alloc
                  get-or-create-trampoline])
(import pickle
  epsilon
  epsilon [get-or-create-trampoline :as trampoline-of]
  epsilon.libc [qsort strlen abs :as c-abs]
  pytest)

(define-c-struct point (x :int) (y :double))
(define-c-struct segment (from point) (to point) (weights (:array :float 3)) (next (:pointer :int)))
(define-c-enum color :red :green (:blue 7))
(setv WIDTH 640  RATIO 0.5  NAME "epsilon")

;;; Numbers

(defnative arithmetic :long ((a :long) (b :long)) (- (+ a (* 2 b) 1) (// a 2)))
(defnative bits :uint32 ((a :uint32) (b :uint32)) (bnot (^ (| (& a b) (<< a 3)) (>> b 1))))
(defnative wrapped :int ((a :int)) (+ a 1))
(defnative narrow :int8 ((a :int)) a)
(defnative floored :int ((a :int) (b :int)) (+ (* 100 (// a b)) (% a b)))
(defnative ratio :double ((a :double) (b :double)) (/ a b))
(defnative cut-off :int ((x :double)) (cast x :int))
(defnative truth-sum :int ((a :int) (b :int)) (+ (< a b) (* 10 (= a b)) (* 100 (not a))))
(defnative chained :bool ((a :int) (b :int) (c :int)) (< a b c))
(defnative mixed :bool ((a :int64) (b :uint64)) (< a b))
(defnative either :int ((a :int) (b :int)) (or a b))
(defnative both :int ((a :int) (b :int)) (and a b))
(defnative negated :double ((x :double)) (- x))

(defn test-arithmetic []
  (assert (= (arithmetic 7 5) 15))
  (assert (= (bits 12 10) (& 0xffffffff (bnot (^ (| (& 12 10) (<< 12 3)) (>> 10 1))))))
  (assert (= (negated 2.5) -2.5))
  (assert (= (ratio 1 4) 0.25)))

(defn test-integers-wrap-at-their-width []
  (assert (= (wrapped 2147483647) -2147483648))
  (assert (= (narrow 200) -56)))

(defn test-division-floors []
  (for [[a b] [[7 2] [-7 2] [7 -2] [-7 -2] [-2147483648 -1]]]
    (setv wanted (+ (* 100 (// a b)) (% a b)))
    (assert (= (floored a b) (- (% (+ wanted 2147483648) 4294967296) 2147483648)))))

(defn test-a-float-is-cut-off-and-stays-in-range []
  (assert (= (lfor x [2.9 -2.9 1e30 -1e30 (float "nan")] (cut-off x)) [2 -2 2147483647 -2147483648 0])))

(defn test-comparisons []
  (assert (= (lfor [a b] [[1 2] [2 2] [0 -1]] (truth-sum a b)) [1 10 100]))
  (assert (is (chained 1 2 3) True))
  (assert (is (chained 1 3 3) False))
  (assert (is (mixed -1 18446744073709551615) True))
  (assert (= [(either 0 5) (either 4 5) (both 0 5) (both 4 5)] [5 4 0 5])))

;;; Statements

(defnative collatz :int ((n :long))
  "How many steps it takes."
  (setv steps 0)
  (while (!= n 1)
    (setv n (if (% n 2) (+ (* 3 n) 1) (// n 2)))
    (+= steps 1))
  steps)
(defnative triangle :long ((n :int))
  (setv total (the :long 0))
  (for [i (range n)  j (range (+ i 1))]
    (when (= j 3) (break))
    (unless (% j 2) (continue))
    (+= total (* i j)))
  total)
(defnative countdown :int ((n :int))
  (setv last 0)
  (for [i (range n 0 -2)] (setv last (+ (* last 10) i)))
  (+ (* last 100) i))
(defnative size-word :int ((n :int))
  (cond (< n 0) -1
        (= n 0) (return 0)
        (< n 10) (let [n (* n 2)  m (+ n 1)] (+ n m))
        True (do (setv half (// n 2)) half)))
(defnative first-over :int ((p (:pointer :int)) (n :size) (limit :int))
  (for [i (range n)]
    (when (> (get p i) limit)
      (return (get p i))))
  -1)
(defnative store :void ((p (:pointer :int)) (value :int))
  (setv (deref p) value)
  (+= (get p 1) 5)
  (when (< value 0) (return))
  (setv (get p 2) (deref p 1)))
(defn python-triangle [n]
  (setv total 0)
  (for [i (range n)]
    (for [j (range (+ i 1))]
      (when (= j 3) (break))
      (when (not (% j 2)) (continue))
      (+= total (* i j))))
  total)

(defn test-loops []
  (assert (= (collatz 27) 111))
  (assert (= (triangle 9) (python-triangle 9)))
  (assert (= (countdown 7) 753101))
  (assert (= (countdown 0) 0)))

(defn test-conditions-and-early-return []
  (assert (= (lfor n [-4 0 3 40] (size-word n)) [-1 0 13 20]))
  (setv p (foreign-alloc :int :initial [3 8 2 9]))
  (assert (= [(first-over p 4 5) (first-over p 4 8) (first-over p 4 9)] [8 9 -1])))

;;; Memory

(defnative norm :double ((p (:pointer point))) (+ (* (. p x) p.x) (struct-ref p 'y)))
(defnative scale :void ((p (:pointer segment)) (k :int))
  (*= p.from.x k)
  (setv (. p to y) (* 2 p.from.y)
        (get p.weights 1) 0.5
        p.next None))
(defnative swap :void ((p (:pointer point)) (i :int) (j :int))
  (let [t (get p i)]
    (setv (get p i) (get p j)
          (get p j) t)))
(defnative locals :int ((n :int))
  (setv squares (the (:array :int 10)))
  (for [i (range 10)] (setv (get squares i) (* i i)))
  (let [p (point :x n :y 1.5)  q p  table (the (:array :int 3) [5 6 7])]
    (setv q.x (+ p.x 1))
    (+ (get squares 9) p.x (* 1000 q.x) (get table 2))))
(defnative spaces :size ((s :string))
  (setv found 0  p s)
  (while (deref p)
    (when (= (deref p) (ord " ")) (+= found 1))
    (setv p (+ p 1)))
  (+ found (* 100 (cast (- p s) :size))))
(defnative byte-of :int ((p :pointer) (i :int)) (get (cast p (:pointer :uint8)) i))
(defnative is-null :bool ((p :pointer)) (null-pointer? p))
(defnative sizes :size () (+ (sizeof :int) (* 100 (sizeof point)) (* 10000 (offsetof point 'y))))

(defn test-memory []
  (setv p (foreign-alloc :int :initial [0 1 2]))
  (store p 7)
  (assert (= (list p) [7 6 6]))
  (setv p (foreign-alloc :int :initial [0 1 2]))
  (store p -7)
  (assert (= (list p) [-7 6 2])))

(defn test-structs []
  (assert (= (norm (point 3 1.5)) 10.5))
  (setv s (segment :from (point 2 4.0)))
  (scale s 5)
  (assert (= [s.from.x s.to.y (list s.weights)] [10 8.0 [0.0 0.5 0.0]]))
  (setv points (foreign-alloc point :initial [(point 1 1.0) (point 2 2.0)]))
  (swap points 0 1)
  (assert (= (list points) [(point 2 2.0) (point 1 1.0)])))

(defn test-local-arrays-and-structs []
  (assert (= (locals 4) (+ 81 4 5000 7))))

(defn test-pointers-and-strings []
  (assert (= (spaces "a b cd ") 703))
  (assert (= (byte-of (foreign-alloc :uint8 :initial [97 122]) 1) 122))
  (assert (is (is-null None) True))
  (assert (= (sizes) (+ 4 1600 80000))))

;;; Names of the module

(defnative constants :double () (+ WIDTH (* RATIO color.blue)))
(defnative greeting :size () (+ (strlen NAME) (strlen "two words")))
(defnative distance :int ((a :int) (b :int)) (c-abs (- a b)))
(defnative even :bool ((n :int)) (if (= n 0) True (odd (- n 1))))
(defnative odd :bool ((n :int)) (if (= n 0) False (even (- n 1))))
(defnative factorial :uint64 ((n :int)) (if (< n 2) 1 (* n (factorial (- n 1)))))
(defnative apply-twice :int ((f (:function :int (:int))) (n :int)) (f (f n)))
(defnative sort-down :void ((p (:pointer :int)) (n :size)) (qsort p n (sizeof :int) compare-down))
(defnative compare-down :int ((a (:pointer :int)) (b (:pointer :int))) (- (deref b) (deref a)))
(defnative compare-up :int ((a (:pointer :int)) (b (:pointer :int))) (- (deref a) (deref b)))
(defmacro twice [x] `(* 2 ~x))
(defnative with-macro :int ((n :int)) (twice (+ n 1)))

(defn test-names-of-the-module []
  (assert (= (constants) 643.5))
  (assert (= (greeting) 16)))

(defn test-natives-call-c-each-other-and-themselves []
  (assert (= (distance 3 10) 7))
  (assert (is (even 10) True))
  (assert (is (odd 10) False))
  (assert (= (factorial 20) 2432902008176640000))
  (assert (= (apply-twice wrapped 5) 7))
  (assert (= (apply-twice (fn [n] (* n 3)) 5) 45)))

(defn test-c-calls-a-native []
  (setv p (foreign-alloc :int :initial [3 1 2]))
  (qsort p 3 4 compare-up)
  (assert (= (list p) [1 2 3]))
  (sort-down p 3)
  (assert (= (list p) [3 2 1]))
  (assert (= ((trampoline-of "int" ["int"]) wrapped.address 41) 42)))

(defn test-macros-in-a-body-are-expanded []
  (assert (= (with-macro 4) 10)))

(defn test-a-native-of-a-function-sees-its-variables []
  (define-c-struct local-pair (a :int) (b :int))
  (setv factor 3)
  (defnative weigh :int ((p (:pointer local-pair))) (* factor (+ p.a p.b)))
  (assert (= (weigh (local-pair 1 2)) 9)))

;;; A function like any other

(defn test-a-native-is-a-function []
  (assert (isinstance collatz epsilon.Function))
  (assert (= (collatz :n 27) 111))
  (assert (= collatz.__name__ "collatz"))
  (assert (= collatz.__doc__ "int collatz(long n)\n\nHow many steps it takes."))
  (assert (= (repr compare-up) "int compare_up(int *a, int *b)"))
  (assert (is (pickle.loads (pickle.dumps compare-up)) compare-up))
  (with [_ (pytest.raises epsilon.ForeignTypeError :match "parameter 1 'a' \\(int\\): got 'x'")]
    (floored "x" 1)))

;;; Callbacks

(defcallback native-compare :int ((a (:in :int)) (b (:in :int))) :native True
  "Downwards."
  (- b a))
(defcallback points-first :int ((a (:in point)) (b (:in point))) :native True :on-error 0
  (if (< a.x b.x) -1 (> a.x b.x)))

(defn test-a-native-callback []
  (setv p (foreign-alloc :int :initial [3 1 2]))
  (qsort p 3 4 native-compare)
  (assert (= (list p) [3 2 1]))
  (assert (= native-compare.__doc__ "int native_compare(const int *a, const int *b)\n\nDownwards."))
  (setv points (foreign-alloc point :initial [(point 2 0.0) (point 1 1.0)]))
  (qsort points 2 (. point size) points-first)
  (assert (= (lfor each points each.x) [1 2])))

;;; What stops a native

(defnative divided :int ((a :int) (b :int)) (// a b))
(defnative checked :int ((a :int)) (assert (> a 0) "not positive") a)
(defnative careless :int ((a :int)) (+ 1 (divided 10 a) (checked a)))
(defnative compare-badly :int ((a (:pointer :int)) (b (:pointer :int)))
  (assert (!= (deref a) 13))
  (- (deref a) (deref b)))
(defcallback answers :int ((a :int)) :native True :on-error -7
  (% 10 a))

(defn test-division-by-zero-and-a-failed-assert-are-raised []
  (with [caught (pytest.raises ZeroDivisionError :match "division by zero: \\(// a b\\), in divided")]
    (divided 1 0))
  (setv frame caught.traceback)
  (assert (= (str (. (get frame -1) path)) __file__))
  (assert (= (. (get frame -1) name) "divided"))
  (with [_ (pytest.raises AssertionError :match "not positive: \\(> a 0\\), in checked \\(.*test_native_hy.hy:[0-9]+\\)")]
    (checked 0)))

(defn test-the-caller-of-a-native-that-stops-gets-zero []
  "Its caller goes on; the first error is raised, the other is its note."
  (with [caught (pytest.raises ZeroDivisionError)]
    (careless 0))
  (assert (in "not positive" (str caught.value.__notes__))))

(defn test-an-error-comes-through-the-c-that-called []
  (setv p (foreign-alloc :int :initial [7 13 1]))
  (with [_ (pytest.raises AssertionError)]
    (qsort p 3 4 compare-badly)))

(defn test-on-error-of-a-native []
  (defnative ask :int ((f (:function :int (:int))) (seen (:pointer :int)))
    (setv (deref seen) (f 0))
    1)
  (setv seen (foreign-alloc :int))
  (with [_ (pytest.raises ZeroDivisionError)]
    (ask answers seen))
  (assert (= (get seen 0) -7)))

(defn test-null-behind-an-in-parameter []
  (with [_ (pytest.raises epsilon.ForeignValueError :match "a is NULL")]
    ((trampoline-of "int" ["pointer" "pointer"]) native-compare.address None None)))

;;; The order of evaluation is Lisp's

(defnative bump :int ((p (:pointer :int))) (+= (deref p) 1) (deref p))
(defnative order-of-operands :int ((p (:pointer :int)))
  (+ (* 1000 (get p 0)) (* 100 (bump p)) (* 10 (bump p)) (get p 0)))
(defnative order-of-comparison :bool ((p (:pointer :int))) (< (get p 0) (bump p) (bump p) 3))
(defnative order-of-places :void ((p (:pointer :int)) (q (:pointer :int)))
  (setv (get q (get p 0)) (* 10 (bump p)))
  (+= (get q (bump p)) (bump p)))
(defnative short-circuit :int ((p (:pointer :int)) (a :int))
  (and a (bump p))
  (or a (bump p))
  (when (and (> a 5) (< (bump p) 100) (> (bump p) 0)) (bump p))
  (or (and a (> (bump p) 0) (= a 3)) (> (bump p) 50) False)
  (deref p))
(defnative loop-variable :long ((n :int))
  (setv total (the :long 0)  limit n)
  (for [i (range limit)]
    (setv limit 0)
    (+= total i)
    (setv i 100)
    (+= total i))
  (+ (* 1000 total) i))
(defnative condition-with-statements :int ((n :int))
  (setv rounds 0)
  (while (let [m (- n rounds)] (when (= m 3) (return -1)) (> m 0))
    (+= rounds 1)
    (when (= rounds 2) (continue))
    (when (> rounds 50) (break)))
  rounds)
(defnative shadowed :int ((x :int))
  (let [x (+ x 1)  y x]
    (let [x (* y 10)]
      (setv y (+ x 1)))
    (setv x (+ x y)))
  (+ x 1))
(defnative copied :int ()
  (let [a (point 1 2.0)  b a]
    (setv b.x 5)
    (setv a (point (+ b.x 1) (+ a.x 0.0)))
    (+ (* 100 a.x) (* 10 (cast a.y :int)) b.x)))
(defnative zeros-each-time :int ()
  (setv total 0)
  (for [i (range 3)]
    (let [a (the (:array :int 4))]
      (+= (get a i) 1)
      (for [j (range 4)] (+= total (get a j)))))
  total)
(defnative fill :void ((p (:pointer :double)) (n :size)) (for [i (range n)] (setv (get p i) (/ i 2.0))))
(defnative passes-its-array :double ()
  (let [a (the (:array :double 5))]
    (fill a 5)
    (+ (get a 4) (get a 1))))
(defnative value-of-if :int ((p (:pointer :int)) (a :int))
  (+ (if a (do (bump p) (bump p)) (* 10 (bump p))) (* 100 (deref p))))

(defn test-the-order-of-evaluation []
  (defn with-one [f #* arguments]
    (setv p (foreign-alloc :int :initial [1]))
    [(f p #* arguments) (get p 0)])
  (assert (= (with-one order-of-operands) [1233 3]))
  (assert (= (with-one order-of-comparison) [False 3]))
  (assert (= (lfor a [0 1 3 7] (with-one short-circuit a)) [[3 3] [4 4] [3 3] [7 7]]))
  (assert (= (lfor a [0 1] (with-one value-of-if a)) [[220 2] [303 3]]))
  (setv p (foreign-alloc :int :initial [1])  q (foreign-alloc :int :count 5))
  (order-of-places p q)
  (assert (= [(list p) (list q)] [[4] [0 0 20 4 0]])))

(defn test-what-loops-and-scopes-do-to-locals []
  (assert (= (loop-variable 3) 303100))
  (assert (= (lfor n [2 9] (condition-with-statements n)) [2 -1]))
  (assert (= (shadowed 4) 5))
  (assert (= (copied) 615))
  (assert (= (zeros-each-time) 3))
  (assert (= (passes-its-array) 2.5)))

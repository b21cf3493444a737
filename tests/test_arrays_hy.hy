"Arrays in the forms: ``(:array T :length n)`` names a parameter of the same list."

(import array [array]
        clib [load-c]
        epsilon hy pytest)
(require epsilon *)

(setv lib (load-c "
#include <stddef.h>
#include <string.h>
long sum(const int *xs, size_t n) { long t = 0; for (size_t i = 0; i < n; i++) t += xs[i]; return t; }
void squares(int *out, int n) { for (int i = 0; i < n; i++) out[i] = i * i; }
int evens(const int *xs, size_t n, int *out, size_t *found)
{ size_t k = 0; for (size_t i = 0; i < n; i++) if (xs[i] % 2 == 0 && k < *found) out[k++] = xs[i]; *found = k; return 1; }
void reverse(int *xs, int n) { for (int i = 0; i < n / 2; i++) { int t = xs[i]; xs[i] = xs[n-1-i]; xs[n-1-i] = t; } }
size_t longest(const char *const *texts)
{ size_t most = 0; for (; *texts; texts++) if (strlen(*texts) > most) most = strlen(*texts); return most; }
long visit(long (*f)(const int *, int), int n) { int xs[4] = {1, 2, 3, 4}; return f(xs, n); }
int fill(void (*f)(int *, int), int n) { int xs[4] = {0}; f(xs, n); return xs[0] * 100 + xs[1] * 10 + xs[2]; }
struct pair { int a, b; };
int pairs(const struct pair *p, int n) { int t = 0; while (n--) t += p[n].a * p[n].b; return t; }
"))

(define-c-struct pair (a :int) (b :int))

(defshared c-sum "sum" lib :long (xs (:array :int :length how-many)) (how-many :size))

(defn test-the-length-names-a-parameter-of-the-list []
  (assert (= (c-sum [1 2 3]) 6))
  (assert (= (c-sum :xs (array "i" [4 5])) 9))
  (assert (= (c-sum None) 0))
  (assert (= (str c-sum.__signature__) "(xs)"))
  (assert (= (repr c-sum) "long sum(int xs[], size_t how_many)"))
  (with [_ (pytest.raises epsilon.ForeignTypeError :match r"sum\(\): parameter 1 'xs' \(int \[\]\): element 1: got 'x'")]
    (c-sum [1 "x"])))

(defn test-brackets-quotes-strings-and-indices-do-too []
  (defshared one "sum" lib :long [xs [:array :int :length n]] [n :size])
  (defshared two "sum" lib :long '(xs (:array :int :length "n")) '(n :size))
  (defshared three "sum" lib :long (xs (:array :int :length 1)) (n :size))
  (defshared four "sum" lib :long (xs (:array :int :length arg2)) (n :size))
  (assert (is c-sum.signature one.signature two.signature three.signature four.signature))
  (assert (= (one [1]) (two [1]) (three [1]) 1)))

(defn test-arrays-come-back-as-lists []
  (defshared squares "squares" lib :void (out (:out (:array :int :length n))) (n :int))
  (assert (= (squares 4) [0 1 4 9]))
  (defshared evens "evens" lib :int
    (xs (:array :int :length n)) (n :size)
    (out (:out (:array :int :length found))) (found (:inout :size)))
  (assert (= (evens [1 2 3 4 6] 5) #(1 [2 4 6])))
  (assert (= (evens [1 2 3 4 6] :found 2) #(1 [2 4])))
  (defshared reverse "reverse" lib :void (xs (:inout (:array :int :length n))) (n :int))
  (assert (= (reverse [1 2 3]) [3 2 1]))
  (setv many 3)
  (defshared fixed "squares" lib :void (out (:out (:array :int 3))) (n :int))
  (defshared at-run-time "squares" lib :void (out (:out (:array :int many))) (n :int))
  (assert (= (fixed 3) (at-run-time 3) [0 1 4])))

(defn test-an-array-of-strings []
  (defshared longest "longest" lib :size (texts (:array :string)))
  (assert (= (longest ["a" "ccc" "bb"]) 3))
  (assert (= (longest []) 0)))

(defn test-an-array-of-structs []
  (defshared pairs "pairs" lib :int (p (:array pair :length n)) (n :int))
  (assert (= (pairs [(pair 2 3) {"a" 4  "b" 5}]) 26)))

(defn test-shared-call-has-no-names []
  (assert (= (shared-call '("sum" lib) :long '((:array :int :length arg2) :size) [1 2]) 3))
  (assert (= (shared-call #("sum" lib) :long [(:array :int :length 1) :size] [1 2]) 3)))

(defn test-a-registered-signature []
  (register-signature 'summing-up :long '((:array :int :length arg2) :size))
  (assert (= ((.bind lib "sum" "summing-up") [5 6]) 11)))

(defn test-a-callback-receives-a-view []
  (setv kept [])
  (defcallback total :long ((xs (:in (:array :int :length n))) (n :int))
    "Their sum."
    (.append kept xs)
    (+ (sum xs) (* 10 (len xs))))
  (setv visit (.bind lib "visit" "long" ["pointer" "int"]))
  (assert (= (visit total 3) 36))
  (with [_ (pytest.raises epsilon.ForeignMemoryError :match "the return of the callback")]
    (get (get kept 0) 0))
  (with-callback (beyond (fn [xs] (get xs 2)) :long '((:array :int :length 1) :int))
    (with [_ (pytest.raises epsilon.ForeignIndexError)]
      (visit beyond 2)))
  (with [_ (pytest.raises epsilon.ForeignValueError :match "that it has -1 elements")]
    (visit total -1)))

(defn test-a-callback-gives-an-array []
  (defcallback count-up :void ((xs (:out (:array :int :length n))) (n :int))
    (range 1 (+ n 1)))
  (assert (= ((.bind lib "fill" "int" ["pointer" "int"]) count-up 3) 123))
  (setv filling (make-callback (fn [n] [7 8]) :void '((:out (:array :int :length arg2)) :int)))
  (assert (= ((.bind lib "fill" "int" ["pointer" "int"]) filling 2) 780)))

(defn wrong [text]
  "The message of the syntax error that a form is."
  (with [caught (pytest.raises hy.errors.HySyntaxError)]
    (hy.eval (hy.read text) :module "test_arrays_hy"))
  (str caught.value))

(defn test-a-wrong-length-is-found-where-it-is-written []
  (for [[form text] [
      ["(defshared f \"sum\" lib :long (xs (:array :int :length m)) (n :size))" "no parameter is called so; the parameters are xs, n"]
      ["(defshared f \"sum\" lib :long (xs (:array :int :length cuont)) (count :size))" "did you mean 'count'"]
      ["(defcallback f :long ((xs (:array :int :length m)) (n :size)) 1)" "no parameter is called so"]
      ["(defshared f \"sum\" lib :long (xs (:array :int :length 5)) (n :size))" "there are 2"]
      ["(defshared f \"sum\" lib :long (xs (:array :int :length)) (n :size))" "the option :length needs a value"]
      ["(defshared f \"sum\" lib :long (xs (:array :int :length None)) (n :size))" "is named by a symbol"]
      ["(defshared f \"sum\" lib :long (xs (:array :int 3 :length n)) (n :size))" "no other length"]
      ["(shared-call '(\"sum\" lib) :long '((:array :int :length n) :size) [])" "the parameters are arg1, arg2"]
      ["(define-c-struct bad (xs (:array :int :length n)) (n :size))" "names a parameter"]]]
    (assert (in text (wrong form)) form)))

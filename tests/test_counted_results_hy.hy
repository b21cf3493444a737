"Results with a known count in the forms: ``(:pointer T :count n)`` names a parameter, or says a number."

(import clib [load-c]
        epsilon hy pytest)
(require epsilon *)

(setv lib (load-c "
#include <stdlib.h>
#include <stdint.h>
static uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
uint8_t *first(long n) { return bytes; }
uint8_t *told(size_t *n) { *n = 5; return bytes; }
int fetch(uint8_t **data, size_t *n) { *data = bytes; *n = 3; return 7; }
int *ones(int n) { int *p = calloc(n, sizeof *p); for (int i = 0; i < n; i++) p[i] = 1; return p; }
"))

(defshared first-bytes "first" lib (:pointer :uint8 :count how-many) (how-many :long))

(defn test-the-count-names-a-parameter-of-the-list []
  (setv p (first-bytes 4))
  (assert (= (list p) [1 2 3 4]))
  (assert (= (len p) 4))
  (assert (= (cut p 1 3) [2 3]))
  (with [_ (pytest.raises epsilon.ForeignIndexError)] (get p 4))
  (with [_ (pytest.raises epsilon.ForeignValueError :match r"first\(\): parameter 1 'how_many' \(long\): got -1")]
    (first-bytes -1))
  (assert (= (repr first-bytes) "uint8_t *first(long how_many)")))

(defn test-an-output-a-number-and-a-free []
  (defshared told "told" lib (:pointer :uint8 :count size) (size (:out :size)))
  (assert (= (list (told)) [1 2 3 4 5]))
  (defshared two "first" lib (:pointer :uint8 :count 2) (n :long))
  (assert (= (list (two 0)) [1 2]))
  (defshared ones "ones" lib (:pointer :int :count n :free "free") (n :int))
  (with [p (ones 3)] (assert (= (list p) [1 1 1])))
  (defshared fetch "fetch" lib :int (data (:out (:pointer :uint8 :count n))) (n (:out :size)))
  (setv [result data] (fetch))
  (assert (= [result (list data)] [7 [1 2 3]]))
  (assert (= (list (shared-call ("first" lib) (:pointer :uint8 :count arg1) (:long) 2)) [1 2])))

(defn test-a-wrong-count-is-found-where-it-is-written []
  (for [[text message] [["(defshared f \"f\" \"libc\" (:pointer :int :count m) (n :int))" "no parameter is called so"]
                        ["(defshared f \"f\" \"libc\" (:pointer :void :count n) (n :int))" "void has no size"]
                        ["(defshared f \"f\" \"libc\" (:pointer :int :count) (n :int))" "option :count needs a value"]]]
    (with [_ (pytest.raises Exception :match message)]
      (hy.eval (hy.read text) :module "test_counted_results_hy"))))

"A native function in a batch and as a ufunc: C calls machine code that was Lisp."

(import
  epsilon pytest
  epsilon._backend :as _backend)
(require epsilon [defnative with-foreign-batch])

(defnative half :double ((x :double)) (/ x 2.0))
(defnative quotient :int ((a :int) (b :int)) (// a b))

(defn test-natives-in-a-batch []
  (assert (= (with-foreign-batch (quotient 17 2 :as r) (quotient r 3) (half r)) [8 2 4.0]))
  (with [caught (pytest.raises ZeroDivisionError :match "division by zero")]
    (with-foreign-batch (quotient 7 2 :as r) (quotient r 0) (quotient 1 1)))
  (assert (= [caught.value.index caught.value.results] [1 [3]])))

(defn test-a-native-is-a-ufunc []
  (setv numpy (pytest.importorskip "numpy"))
  (when (or (is _backend.shim None) (not (isinstance half epsilon.Function)))
    (pytest.skip "ufuncs need the shim and a compiler"))
  (assert (= (.tolist ((epsilon.vectorize half) [1 2 3])) [0.5 1.0 1.5]))
  (setv divide (epsilon.vectorize quotient)
        seven (numpy.array [7 7] "int32"))
  (assert (= (.tolist (divide seven (numpy.array [2 -2] "int32"))) [3 -4]))
  (with [_ (pytest.raises ZeroDivisionError :match "division by zero")]
    (divide seven (numpy.array [2 0] "int32"))))

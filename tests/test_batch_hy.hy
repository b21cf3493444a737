"``with-foreign-batch``: one crossing for its calls, names for their results, and the same meaning for any other form."

(import
  epsilon pytest)
(require epsilon [with-foreign-batch defshared defshared-with-errno shared-call])

(defshared c-abs "abs" "libc" :int (n :int))
(defshared c-labs "labs" "libc" :long (n :long))
(defshared c-strlen "strlen" "libc" :size (s :string))
(defshared c-atof "atof" "libc" :double (s :string))
(defshared-with-errno c-rmdir "rmdir" "libc" :int (path :string))

(defn test-a-result-has-a-name-for-the-calls-that-follow []
  (assert (= (with-foreign-batch
               (c-abs -3 :as three)
               (c-labs three)
               (c-strlen "four" :as four)
               (c-abs -5))
             [3 3 4 5])))

(defn test-a-form-runs-again-with-other-arguments-and-functions []
  (defn both [f x] (with-foreign-batch (f x :as y) (f y) (c-labs 1)))
  (assert (= (both c-abs -1) [1 1 1]))
  (assert (= (both c-labs -2) [2 2 1]))
  (assert (= (both (fn [x] (+ x 1)) 7) [8 9 1]))
  (assert (= (lfor n (range 3)  (with-foreign-batch (c-abs n) (c-abs (- n)))) [[0 0] [1 1] [2 2]])))

(defn test-an-expression-of-a-result-is-right-too []
  (assert (= (with-foreign-batch
               (c-strlen "four" :as n)
               (c-abs (- (int n)))
               (c-strlen (* "x" n) :as m)
               (+ n m)
               (str f"{n}-{m}"))
             [4 4 4 8 "4-4"])))

(defn test-macros-methods-keywords-and-unpacking-are-calls-in-their-turn []
  (setv log [])
  (assert (= (with-foreign-batch
               (c-abs -1 :as one)
               (.append log one)
               (c-abs :n -2)
               (c-abs #* [-3])
               (shared-call #("abs" "libc") :int [:int] -4)
               (if log (c-abs -5) None)
               (epsilon.deref-int (epsilon.foreign-alloc "int" :initial [6])))
             [1 None 2 3 4 5 6]))
  (assert (= log [1])))

(defn test-a-failed-call-stops-the-batch []
  (with [caught (pytest.raises epsilon.ForeignOSError :match r"call 2 of 3: rmdir\(path='/no/such'\) gave -1")]
    (with-foreign-batch (c-abs -1) (c-rmdir "/no/such") (c-abs -2)))
  (assert (= [caught.value.index caught.value.results caught.value.function] [1 [1] "rmdir"])))

(defn test-a-result-that-does-not-fit-is-refused []
  (with [_ (pytest.raises epsilon.ForeignTypeError :match r"call 2 of 2: abs\(\): parameter 1 'n' \(int\) cannot be")]
    (with-foreign-batch (c-atof "1.5" :as x) (c-abs x))))

(defn test-what-as-is-not []
  (for [[form text] [['(with-foreign-batch (c-abs 1 :as)) "ends with :as NAME"]
                     ['(with-foreign-batch (c-abs :as r 1)) "ends with :as NAME"]
                     ['(with-foreign-batch (c-abs 1 :as 5)) "ends with :as NAME"]
                     ['(with-foreign-batch (c-abs 1 :as r) (c-abs 2 :as r)) "two calls have results called r"]]]
    (with [_ (pytest.raises hy.errors.HySyntaxError :match text)]
      (hy.eval form))))

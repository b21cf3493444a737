"C sorts, Lisp compares: libc's qsort(3) and bsearch(3) with comparators written in Hy.

Run it with ``hy examples/qsort.hy``. It needs nothing but the C library."

(import epsilon [deref-int])
(require epsilon [defcallback define-c-struct defshared sizeof with-callback with-foreign-memory])

;; A C function becomes a Lisp function: its Lisp name, its C name, its library, what it returns and what it takes.
;;   void qsort(void *base, size_t count, size_t width, int (*compare)(const void *, const void *));
(defshared qsort "qsort" "libc" :void
  (base :pointer) (count :size) (width :size) (compare :pointer))

;;   void *bsearch(const void *key, const void *base, size_t count, size_t width, int (*compare)(…));
;; A `(:in :int)` parameter is passed by value from here: Epsilon makes the `int` that C gets a pointer to.
(defshared bsearch "bsearch" "libc" (:pointer :int)
  (key (:in :int)) (base :pointer) (count :size) (width :size) (compare :pointer))

;;; 1. A comparator that C can call
;; C passes two pointers to ints. `(:in :int)` says that we want what is behind them, so `a` and `b` are plain integers.

(defcallback ascending :int ((a (:in :int)) (b (:in :int)))
  "Negative, zero or positive, as qsort(3) wants it."
  (- a b))

(defn sort-numbers []
  (setv given [3 1 4 1 5 9 2 6])
  ;; The memory lives for as long as the body runs. C gets its address; Python sees a sequence.
  (with-foreign-memory ((numbers :int :initial given))
    (qsort numbers (len numbers) (sizeof :int) ascending)
    (print "sorted:     " (list numbers))
    (assert (= (list numbers) (sorted given)))

    ;; `bsearch` gives a pointer into the memory, or NULL. `.index` of a sequence would do; but here C looks.
    (setv found (bsearch 5 numbers (len numbers) (sizeof :int) ascending))
    (print "found:      " (deref-int found))
    (assert (= (deref-int found) 5))))

;;; 2. The same with any function, for the length of a block
;; The classic spelling: bare pointers, and `deref-int` to look behind them.

(defn sort-backwards []
  (with-foreign-memory ((numbers :int :initial [3 1 4 1 5 9 2 6]))
    (with-callback (descending (fn [a b] (- (deref-int b) (deref-int a))) :int '(:pointer :pointer))
      (qsort numbers (len numbers) (sizeof :int) descending))
    (print "descending: " (list numbers))
    (assert (= (list numbers) [9 6 5 4 3 2 1 1]))))

;;; 3. Structs
;; An array of C structs, sorted in place by one of their members.

(define-c-struct city
  (name :string)
  (population :long))

(defcallback by-population :int ((a (:in city)) (b (:in city)))
  (- a.population b.population))

(defn sort-cities []
  (with-foreign-memory ((cities city :initial [(city "Aarhus" 290598) (city "Bergen" 291940) (city "Cork" 224004)]))
    (qsort cities (len cities) (sizeof city) by-population)
    (for [each cities]
      (print f"{each.population :8}  {each.name}"))
    (assert (= (lfor each cities each.name) ["Cork" "Aarhus" "Bergen"]))))

;;; 4. When the comparator fails
;; The exception crosses C unharmed: C gets the callback's `:on-error` value for the rest of the sort (zero, unless
;; something else is said), and the call of `qsort` raises.

(defcallback unreliable :int ((a (:in :int)) (b (:in :int))) :on-error 0
  (if (= 13 a b) 0 (// (- a b) (- (max a b) 13))))

(defn fail-politely []
  (with-foreign-memory ((numbers :int :initial [7 13 1]))
    (try
      (qsort numbers (len numbers) (sizeof :int) unreliable)
      (except [error ZeroDivisionError]
        (print "raised:     " (repr error)))
      (else (raise (AssertionError "the comparator's exception was lost"))))))

(when (= __name__ "__main__")
  (sort-numbers)
  (sort-backwards)
  (sort-cities)
  (fail-politely))

"C sorts, machine code compares: qsort(3) with a comparator whose Lisp body was compiled.

Run it with ``hy examples/native_qsort.hy``. It needs the C library; without a C compiler the natives are interpreted."

(import array [array]  random  time
  epsilon [native-source]
  epsilon.libc [qsort])
(require epsilon [defcallback define-c-struct defnative foreign-alloc sizeof with-pinned-array])

;;; 1. The same comparator twice: as a callback in Lisp, and as a native function
;; A native's body is a subset of Lisp with C's types, which docs/native.md specifies. It is compiled when it is first
;; needed, and found in the cache from then on.

(defcallback compare-in-lisp :int ((a (:in :int)) (b (:in :int)))
  (- (> a b) (< a b)))

(defnative compare-ints :int ((a (:pointer :int)) (b (:pointer :int)))
  "Negative, zero or positive, as qsort(3) wants it."
  (- (> (deref a) (deref b)) (< (deref a) (deref b))))

(defn sorted-in [numbers comparator]
  "The numbers, sorted by C, and the milliseconds that it took."
  (setv values (array "i" numbers))
  (with-pinned-array (p values)
    (setv start (time.perf-counter))
    (qsort p (len values) (sizeof :int) comparator)
    (setv spent (- (time.perf-counter) start)))
  [(list values) (* 1000 spent)])

(defn race []
  (setv numbers (lfor _ (range 50000) (random.randrange -1000000 1000000)))
  (sorted-in [2 1] compare-ints)                 ; compiles it
  (setv [by-lisp slow] (sorted-in numbers compare-in-lisp)
        [by-native fast] (sorted-in numbers compare-ints))
  (assert (= by-lisp by-native (sorted numbers)))
  (print f"50,000 ints: in Lisp {slow :.1f} ms, native {fast :.1f} ms"))

;;; 2. Structs, and natives that call each other

(define-c-struct city
  (name :string)
  (population :long))

(defnative before :bool ((a (:pointer city)) (b (:pointer city)))
  (< a.population b.population))

(defnative by-population :int ((a (:pointer city)) (b (:pointer city)))
  (cond (before a b) -1
        (before b a) 1
        True 0))

(defn sort-cities []
  (setv cities (foreign-alloc city :initial [(city "Bergen" 291940) (city "Cork" 224004) (city "Aarhus" 290598)]))
  (qsort cities 3 (sizeof city) by-population)
  (for [each cities]
    (print f"{each.population :8}  {each.name}"))
  (assert (= (lfor each cities each.name) ["Cork" "Aarhus" "Bergen"])))

;;; 3. When a native stops
;; C gets zero for the rest of the sort, and the call of qsort raises, with the line of Lisp.

(defnative careful :int ((a (:pointer :int)) (b (:pointer :int)))
  (assert (!= (deref a) 13) "thirteen")
  (- (deref a) (deref b)))

(defn fail-politely []
  (try
    (qsort (foreign-alloc :int :initial [13 7 1]) 3 4 careful)
    (except [error AssertionError]
      (print "raised:" (get (.split (str error) ",") 0)))
    (else (raise (AssertionError "the native's error was lost")))))

;;; 4. What became of it

(when (= __name__ "__main__")
  (race)
  (sort-cities)
  (fail-politely)
  (native-source compare-ints))

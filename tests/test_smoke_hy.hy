"The least that must work from Hy on every Python and every install, in the macros' spelling."

(import epsilon)
(import pytest)
(require epsilon [defshared defshared-with-errno defcallback define-c-struct with-c-struct
                  with-foreign-memory with-callback struct-ref shared-call deref])

(defshared my-strlen "strlen" "libc" :unsigned-long (s :string))
(defshared qsort "qsort" "libc" :void (base :pointer) (count :size) (width :size) (compare :pointer))
(defshared-with-errno c-rmdir "rmdir" "libc" :int (path :string))
(define-c-struct timespec (sec :long) (nsec :long))

(defcallback compare-ints :int ((a (:in :int)) (b (:in :int)))
  (- a b))

(defn test-a-call []
  (assert (= (my-strlen "world") 5))
  (assert (= (shared-call '("strlen" "libc") :unsigned-long '(:string) "hello") 5)))

(defn test-errno-is-raised []
  (with [caught (pytest.raises epsilon.ForeignOSError)]
    (c-rmdir "/no/such/folder"))
  (assert (= caught.value.function "rmdir")))

(defn test-c-sorts-with-a-lisp-comparator []
  (with-foreign-memory ((numbers :int :count 4 :initial [3 -1 4 1]))
    (qsort numbers 4 4 compare-ints)
    (assert (= (lfor i (range 4) (deref numbers i)) [-1 1 3 4]))))

(defn test-c-fills-a-struct []
  (with-c-struct (now timespec)
    (setv (struct-ref now 'nsec) -1)
    (shared-call '("clock_gettime" "libc") :int '(:int :pointer) 0 (epsilon.struct-pointer now))
    (assert (>= (struct-ref now 'nsec) 0))))

;;; target.c from SBCL with its own sb-alien. Usage: sbcl --script sbcl-alien.lisp LIBTARGET
(load (merge-pathnames "sbcl-worker.lisp" *load-truename*))
(defpackage :bench-alien (:use :common-lisp :sb-alien :bench))
(in-package :bench-alien)

(load-shared-object (car (last sb-ext:*posix-argv*)))

(declaim (inline c-f0 c-add c-mul3 c-length c-mixed))
(define-alien-routine ("f0" c-f0) void)
(define-alien-routine ("add" c-add) int (a int) (b int))
(define-alien-routine ("mul3" c-mul3) double (a double) (b double) (c double))
(define-alien-routine ("length" c-length) size-t (text c-string))
(define-alien-routine ("mixed" c-mixed) long (a int) (b double) (c long) (d float) (p (* t)))
(define-alien-routine ("call_back" c-call-back) int (f system-area-pointer) (n int))
(define-alien-routine ("qsort" c-qsort) void
  (base system-area-pointer) (count size-t) (size size-t) (compare system-area-pointer))

(sb-alien::define-alien-callable on-add int ((a int) (b int)) (+ a b))
(sb-alien::define-alien-callable on-compare int ((a system-area-pointer) (b system-area-pointer))
  (- (sb-sys:signed-sap-ref-32 a 0) (sb-sys:signed-sap-ref-32 b 0)))

(defun entry (name) (alien-sap (sb-alien::alien-callable-function name)))

(defun call-back (n) (c-call-back (entry 'on-add) n))
(defun sort-ints (base count) (c-qsort base count 4 (entry 'on-compare)))

(defparameter *null* (sap-alien (sb-sys:int-sap 0) (* t)))

(defun loop-f0 (n) (declare (fixnum n)) (dotimes (i n) (c-f0)))
(defun loop-add (n) (declare (fixnum n)) (dotimes (i n) (c-add 3 4)))
(defun loop-mul3 (n) (declare (fixnum n)) (dotimes (i n) (c-mul3 1.5d0 2d0 4d0)))
(defun loop-length (n)
  (declare (fixnum n))
  (let ((text +text+))
    (declare (simple-string text))
    (dotimes (i n) (c-length text))))
(defun loop-mixed (n)
  (declare (fixnum n))
  (let ((null *null*))
    (declare (type (alien (* t)) null))
    (dotimes (i n) (c-mixed 1 2.5d0 3 4.5 null))))

(assert (= (c-add 3 4) 7))
(assert (= (c-mul3 1.5d0 2d0 4d0) 12d0))
(assert (= (c-length +text+) (length +text+)))
(assert (= (c-mixed 1 2.5d0 3 4.5 *null*) 10))
(assert (= (call-back 100) 2746))

(serve (format nil "SBCL ~a" (lisp-implementation-version))
       '(("f0" . loop-f0) ("add" . loop-add) ("mul3" . loop-mul3) ("length" . loop-length)
         ("mixed" . loop-mixed) ("callback" . call-back))
       'sort-ints)

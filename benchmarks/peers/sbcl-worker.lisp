;;; The worker half of remote.py's protocol in Common Lisp, shared by sbcl-alien.lisp and sbcl-cffi.lisp.
;;; Those define the loops; (serve version loops sort) answers until the input ends.
(defpackage :bench
  (:use :common-lisp)
  (:export #:+sorted-numbers+ #:+text+ #:serve))
(in-package :bench)

(defconstant +sorted-numbers+ 200000)
(defparameter +text+ "hello, world")

(defun nanoseconds ()
  ;; get-internal-real-time reads a coarse clock of 4 ms here.
  (multiple-value-bind (seconds microseconds) (sb-ext:get-time-of-day)
    (* 1000 (+ (* seconds 1000000) microseconds))))

(defun timed (function &rest arguments)
  (let ((start (nanoseconds)))
    (apply function arguments)
    (- (nanoseconds) start)))

(defun numbers (count)
  "The ints of tasks.numbers, in a vector whose storage C may sort."
  (let ((values (make-array count :element-type '(signed-byte 32)))
        (state 1))
    (dotimes (i count values)
      (setf state (mod (* state 16807) 2147483647)
            (aref values i) state))))

(defun measure-sort (sort)
  (let* ((values (numbers +sorted-numbers+))
         (taken (sb-sys:with-pinned-objects (values)
                  (timed sort (sb-sys:vector-sap values) +sorted-numbers+))))
    (loop for i from 1 below +sorted-numbers+
          do (assert (<= (aref values (1- i)) (aref values i))))
    taken))

(defvar *counts* (make-hash-table :test 'equal))

(defun calibrated (task loop seconds)
  "How many turns of LOOP take about SECONDS; found once per task."
  (or (gethash task *counts*)
      (setf (gethash task *counts*)
            (loop for count = 4000 then (* count 4)
                  for taken = (timed loop count)
                  when (> taken (* seconds 1d9 1/5))
                    return (max 1 (floor (* count seconds 1d9) taken))))))

(defun measure (task seconds loops sort)
  (if (string= task "qsort")
      (measure-sort sort)
      (let* ((loop (cdr (assoc task loops :test #'string=)))
             (count (calibrated task loop seconds)))
        (/ (timed loop count) (float count 1d0)))))

(defun serve (version loops sort)
  "LOOPS maps a task's name to a function of the number of turns; SORT takes an address and a count."
  (format t "ready ~a|~{~a ~}qsort~%" version (mapcar #'car loops))
  (finish-output)
  (loop for line = (read-line *standard-input* nil)
        while line
        do (let* ((space (position #\Space line))
                  (task (subseq line 0 space))
                  (seconds (let ((*read-default-float-format* 'double-float))
                             (read-from-string line t nil :start space))))
             (handler-case (format t "~,4f~%" (measure task seconds loops sort))
               (error (problem) (format t "failed ~a~%" (substitute #\Space #\Newline (princ-to-string problem)))))
             (finish-output))))

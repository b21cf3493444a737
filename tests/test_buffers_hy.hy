"``from-buffer`` and ``numpy-dtype`` are macros as well as functions, for they take a type; ``into-buffer`` is a function."

(import epsilon [into-buffer]
        epsilon array hy pytest)
(require epsilon *)

(try
  (import numpy)
  (except [ImportError]
    (setv numpy None)))

(setv needs-numpy (pytest.mark.skipif (is numpy None) :reason "NumPy is not installed"))

(define-c-struct hy-point (x :double) (n :int))

(defn [needs-numpy] test-a-type-a-dtype-or-nothing []
  (setv p (foreign-alloc :float :count 6 :initial (range 6)))
  (assert (= (.tolist (from-buffer p [2 3] :float)) [[0 1 2] [3 4 5]]))
  (assert (= (.tolist (from-buffer p 2 numpy.float32)) [0 1]))
  (assert (= (.tolist (from-buffer p #(1 2) "float32")) [[0 1]]))
  (assert (= (. (from-buffer p) shape) (. (from-buffer p :float) shape) #(6)))
  (assert (= (.tolist (epsilon.from-buffer p 1 "float")) [0]))
  (with [_ (pytest.raises epsilon.ForeignTypeError :match "the dtype is int32 and <foreign memory float")]
    (from-buffer p 6 :int)))

(defn [needs-numpy] test-without-a-copy []
  (setv p (foreign-alloc :int :count 3)
        view (from-buffer p 3 :int :copy False)
        all-of-it (from-buffer p :copy False))
  (setv (get view 1) 7)
  (assert (= (list p) (.tolist all-of-it) [0 7 0]))
  (assert (= (into-buffer (numpy.arange 9 :dtype "i4") p :start 7) 2))
  (assert (= (.tolist view) [7 8 0])))

(defn [needs-numpy] test-structs []
  (assert (= (. (numpy-dtype hy-point) itemsize) 16))
  (assert (= (numpy-dtype :unsigned-short) (numpy.dtype "u2")))
  (assert (= (. (numpy-dtype (:array :int 3)) shape) #(3)))
  (setv points (foreign-alloc hy-point :count 2))
  (setv (get (from-buffer points 2 hy-point :copy False) "n") [1 2])
  (assert (= (. (get points 1) n) 2)))

(defn test-into-buffer-takes-any-buffer []
  (setv p (foreign-alloc :int :count 4))
  (assert (= (into-buffer (array.array "i" [1 2 3 4]) p 1 2) 2))
  (assert (= (list p) [2 3 0 0])))

(defn test-a-wrong-form-is-found-where-it-is-written []
  (for [[form text] [
      ["(from-buffer p 3 :imt)" "imt"]
      ["(from-buffer p 3 :int :cpy False)" "unknown option :cpy"]
      ["(from-buffer p 3 :int :copy)" "the option :copy needs a value"]
      ["(from-buffer)" "the form ends where a pointer is wanted"]
      ["(numpy-dtype)" "the form ends where a type is wanted"]]]
    (with [caught (pytest.raises hy.errors.HySyntaxError)]
      (hy.eval (hy.read form) :module "test_buffers_hy"))
    (assert (in text (str caught.value)) form)))

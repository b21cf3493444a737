"The Mandelbrot set: a native kernel fills an array, and the standard library writes it as a picture.

Run it with ``hy examples/mandelbrot.hy [FILE.png]``. The array is NumPy's where there is NumPy, and Epsilon's own memory
where there is none."

(import struct  sys  tempfile  time  zlib
  pathlib [Path])
(require epsilon [defnative foreign-alloc with-pinned-array])
(try
  (import numpy)
  (except [ImportError]
    (setv numpy None)))

(setv WIDTH 240  HEIGHT 160  DEPTH 200)

;; How often z → z² + c can be repeated before z is far away: https://en.wikipedia.org/wiki/Mandelbrot_set
(defnative escape-time :int ((cx :double) (cy :double))
  (setv x (the :double 0)
        y (the :double 0))
  (for [n (range DEPTH)]
    (let [xx (* x x)  yy (* y y)]
      (when (> (+ xx yy) 4.0)
        (return n))
      (setv y (+ (* 2.0 x y) cy)
            x (+ (- xx yy) cx))))
  DEPTH)

(defnative shade :uint8 ((n :int))
  "What is never far away is black."
  (if (= n DEPTH) 0 (- 255 (// (* 255 n) DEPTH))))

(defnative render :int ((pixels (:pointer :uint8)) (width :int) (height :int))
  "Fill the pixels, line by line; how many belong to the set."
  (setv inside 0)
  (for [row (range height)  column (range width)]
    (let [cx (- (/ (* 3.0 column) width) 2.2)
          cy (- (/ (* 2.0 row) height) 1.0)
          n (escape-time cx cy)]
      (+= inside (= n DEPTH))
      (setv (get pixels (+ (* row width) column)) (shade n))))
  inside)

(defn chunk [kind data]
  "A part of a PNG file: its length, its kind, the data and their checksum (ISO 15948 §5.3)."
  (+ (struct.pack ">I" (len data)) kind data (struct.pack ">I" (zlib.crc32 (+ kind data)))))

(defn png [pixels width height]
  "A grey picture of 8 bits as a PNG file: each line begins with the number of its filter, 0."
  (setv lines (lfor row (range height) (+ b"\0" (cut pixels (* row width) (* (+ row 1) width)))))
  (+ b"\x89PNG\r\n\x1a\n"
     (chunk b"IHDR" (struct.pack ">IIBBBBB" width height 8 0 0 0 0))
     (chunk b"IDAT" (zlib.compress (.join b"" lines)))
     (chunk b"IEND" b"")))

(defn main [file]
  (escape-time 0.0 0.0)                          ; compiles the natives of this file
  (setv start (time.perf-counter))
  (if numpy
      (do
        (setv picture (numpy.empty [HEIGHT WIDTH] :dtype "uint8"))
        (with-pinned-array (p picture)
          (setv inside (render p WIDTH HEIGHT))))
      (do
        (setv picture (foreign-alloc :uint8 :count (* WIDTH HEIGHT)))
        (setv inside (render picture WIDTH HEIGHT))))
  (setv spent (* 1000 (- (time.perf-counter) start)))
  (setv place (if numpy "an array of NumPy's" "memory of Epsilon's"))
  (print f"{WIDTH} × {HEIGHT} pixels in {place}, {inside} in the set: {spent :.0f} ms")
  (.write-bytes (Path file) (png (if numpy (.tobytes picture) (bytes picture)) WIDTH HEIGHT))
  (print f"written: {file}, {(. (.stat (Path file)) st-size)} bytes")
  (assert (< 5000 inside 15000)))

(when (= __name__ "__main__")
  (if (> (len sys.argv) 1)
      (main (get sys.argv 1))
      (with [folder (tempfile.TemporaryDirectory)]
        (main (str (/ (Path folder) "mandelbrot.png"))))))

"The words of memory as a Hy user writes them: pointers, arenas, scopes, ownership."

(require epsilon [define-foreign-class defshared with-arena with-ffi cast define-c-struct deref foreign-alloc foreign-string offsetof with-foreign-memory])
(import epsilon [ForeignIndexError ForeignMemoryError foreign-alloc foreign-copy foreign-free foreign-release null-pointer? pointer+ pointer-])
(import pytest)

(defn test-pointer-words []
  (setv p (foreign-alloc :int :initial [1 2 3 4])
        q (pointer+ p 2))
  (assert (= [(list q) (pointer- q p) (deref (pointer- q 1)) (list (pointer+ p 1 :count 2))] [[3 4] 2 2 [2 3]]))
  (setv (get p 3) 7)
  (assert (= (get q 1) 7))
  (assert (not (null-pointer? q)))
  (assert (null-pointer? (cast None (:pointer :int))))
  (with [(pytest.raises ForeignIndexError)] (pointer+ q 3))
  (foreign-free p)
  (with [(pytest.raises ForeignMemoryError)] (deref q)))

(defn test-cast-takes-a-type []
  (setv p (foreign-alloc :uint16 :initial [0x0201 0x0403]))
  (assert (= (list (cast p (:pointer :uint8))) (list (cast p '(:pointer :uint8))) [1 2 3 4]))
  (assert (= (cast p :uintptr) p.address)))

(defn test-offsetof []
  (define-c-struct words-point (x :int) (y :int))
  (define-c-struct words-line (tag :char) (ends (:array words-point 2)))
  (assert (= [(offsetof words-point 'y) (offsetof words-point y) (offsetof words-line 'ends 1 'y)] [4 4 16])))

(defn test-foreign-copy-and-foreign-string []
  (with-foreign-memory ((text :char :count 8))
    (assert (= (foreign-copy text b"spine") 5))
    (assert (= [(foreign-string text) (foreign-string text :length 2) (foreign-string text :encoding None)]
               ["spine" "sp" b"spine"]))))

(defn test-with-arena []
  (with-arena [a]
    (setv p (a.alloc "int" :count 3 :initial [1]))
    (assert (= (list p) [1 0 0])))
  (with [(pytest.raises ForeignMemoryError)] (get p 0))
  (with-arena [a :kind confined]
    (assert (= a.kind "confined")))
  (with-arena [[a :kind :collected] [b]]
    (assert (= [a.kind b.kind] ["collected" "shared"]))))

(defn test-with-ffi []
  (with-ffi [s]
    (setv c (s.lib-open "libc")
          p (s.alloc ':int :count 2)
          f (s.callback (fn [x] x) ':int [':int])))
  (assert (= [c.closed p.alive f.closed] [True False True])))

(defn test-several-blocks-are-freed-in-reverse-also-on-an-exception []
  (setv blocks [])
  (with [(pytest.raises ZeroDivisionError)]
    (with-foreign-memory ((p :int) (q (:array :int 3) :count 2))
      (.extend blocks [p q])
      (/ 1 0)))
  (assert (= (lfor block blocks block.alive) [False False])))

(defn test-give-and-keep []
  (defshared free "free" "libc" :void (p (:give (:pointer :int))))
  (setv p (foreign-alloc :int :count 3))
  (free p)
  (with [(pytest.raises ForeignMemoryError :match "given to C")] (get p 0))
  (defshared c-setbuf "strpbrk" "libc" :pointer (text (:keep :string)) (any :string))
  (c-setbuf "kept text" "x")
  (foreign-release "kept text"))

(defn test-define-foreign-class []
  (define-foreign-class _IO_FILE :free "fclose")
  (defshared c-tmpfile "tmpfile" "libc" _IO_FILE)
  (defshared c-fileno "fileno" "libc" :int (file _IO_FILE))
  (with [file (c-tmpfile)]
    (assert (> (c-fileno file) 2)))
  (with [(pytest.raises ForeignMemoryError)] (c-fileno file)))

"Each macro does what its docstring says; ``test_hy_forms.py`` holds what it expands to, and what it refuses."

(import errno math os pathlib
        cffi
        epsilon pytest
        epsilon [deref-int foreign-free foreign-string lib-open struct-pointer])
(require epsilon *)

(setv libc (lib-open "libc"))


;;; defshared

(defshared strlen "strlen" "libc" :unsigned-long (s :string))

(defn test-a-function-takes-its-arguments-by-position-and-by-name []
  (assert (= (strlen "hello") 5))
  (assert (= (strlen :s "hello!") 6))
  (assert (= (repr strlen) "unsigned long strlen(const char *s)")))

(defn test-parameters-in-parentheses-or-brackets-quoted-or-not []
  (defshared one "strlen" "libc" :size (s :string))
  (defshared two "strlen" "libc" :size [s :string])
  (defshared three "strlen" "libc" :size '(s :string))
  (defshared four "strlen" "libc" ':size '[s ':string])
  (assert (is one.signature two.signature three.signature four.signature))
  (assert (= (four "four") 4)))

(defn test-a-library-is-a-name-a-form-or-the-process []
  (defshared by-object "strlen" libc :size (s :string))
  (defshared by-form "strlen" (lib-open "c") :size (s :string))
  (defshared of-process "strlen" None :size (s :string))
  (assert (= (by-object "a") (by-form "b") (of-process "c") 1))
  (assert (is by-object.library libc)))

(defn test-symbols-are-tried-in-turn []
  (defshared found ["strlen_of_tomorrow" "strlen"] "libc" :size (s :string))
  (assert (= (found "hello") 5))
  (defshared lost '("strlen_of_tomorrow" "strlen_of_never") "libc" :size (s :string))
  (with [caught (pytest.raises epsilon.SymbolNotFoundError :match "strlen_of_never")]
    (lost "hello")))

(defn test-a-symbol-need-not-be-an-identifier []
  (defshared odd "no.such$symbol" "libc" :int)
  (with [_ (pytest.raises epsilon.SymbolNotFoundError :match r"no\.such\$symbol")]
    (odd)))

(defn test-a-library-that-is-not-there-is-named-at-the-form []
  (with [_ (pytest.raises epsilon.LibraryLoadError :match "libnowhere")]
    (defshared f "f" "libnowhere" :int)))

(defn test-an-optional-function-that-is-not-there-is-none []
  (defshared lost "strlen_of_tomorrow" "libc" :size (s :string) :optional True)
  (assert (is lost None))
  (defshared found "strlen" "libc" :size (s :string) :optional True)
  (assert (= (found "hello") 5)))

(defn test-a-variadic-function []
  (defshared snprintf "snprintf" "libc" :int (text (:pointer :char)) (size :size) (format :string) ...)
  (with-foreign-memory ((text :char :count 50))
    (snprintf text 50 "%d %s %.1f %ld" 1 "two" 3.0 [:long 4])
    (assert (= (foreign-string text) "1 two 3.0 4"))))

(defn test-options []
  (defshared c-abs "abs" "libc" :int (n :int)
    :name "absolute" :doc "The absolute value." :critical False :abi :cdecl)
  (assert (= (c-abs -3) 3))
  (assert (= c-abs.__name__ "absolute"))
  (assert (in "The absolute value." c-abs.__doc__))
  (assert (in "int abs(int n)" c-abs.__doc__)))

(defn test-a-check-is-a-word-in-any-spelling-or-a-callable []
  (defshared a "abs" "libc" :int (n :int) :check positive)
  (defshared b "abs" "libc" :int (n :int) :check :positive)
  (defshared c "abs" "libc" :int (n :int) :check "positive")
  (defshared d "abs" "libc" :int (n :int) :check 'positive)
  (defshared e "abs" "libc" :int (n :int) :check (fn [result] (> result 0)))
  (for [f [a b c d e]]
    (assert (= (f -1) 1))
    (with [caught (pytest.raises epsilon.ForeignError)]
      (f 0))
    (assert (= caught.value.code 0))
    (assert (= caught.value.function "abs"))))

(defn test-words-that-c-keeps-for-itself-name-parameters []
  (defshared f "ldexp" "m" :double (double :double) (for :int))
  (assert (= (f 3 2) 12.0))
  (assert (= (repr f) "double ldexp(double double_, int for_)"))
  (.cdef (cffi.FFI) (+ f.prototype ";")))

(defn test-dashes-and-question-marks-in-names []
  (defshared f "ldexp" "m" :double (the-number :double) (big? :int))
  (assert (= (f :the-number 3 :big? 2) 12.0)))


;;; Types in parameter lists

(define-c-struct quotient (quot :int) (rem :int))
(define-c-struct-auto long-quotient "struct ldiv { long quot; long rem; };")

(defn test-a-variable-holds-a-struct-type []
  (defshared div "div" "libc" quotient (a :int) (b :int))
  (assert (= (div 17 5) (quotient 3 2)))
  (defshared ldiv "ldiv" "libc" long-quotient (a :long) (b :long))
  (assert (= (. (ldiv 17 5) rem) 2)))

(defn test-a-struct-by-its-tag []
  (defshared div "div" "libc" (:struct quotient) (a :int) (b :int))
  (assert (= (. (div 17 5) quot) 3))
  (defshared ldiv "ldiv" "libc" (:struct long-quotient) (a :long) (b :long))
  (assert (= (. (ldiv 17 5) rem) 2)))

(defn test-a-struct-type-reached-by-dots []
  (defclass shapes [] (setv quotient quotient))
  (defshared div "div" "libc" shapes.quotient (a :int) (b :int))
  (assert (= (. (div 17 5) quot) 3)))

(defn test-a-variable-holds-any-type []
  (setv number ':int
        text "const char *"
        place '(:pointer :char))
  (defshared c-abs "abs" "libc" number (n number))
  (defshared getenv "getenv" "libc" place (name text))
  (assert (= (c-abs -3) 3))
  (assert (= (foreign-string (getenv "PATH")) (get os.environ "PATH"))))

(defn test-c-spelled-types []
  (defshared f "strlen" "libc" size_t (s "const char *"))
  (defshared g "labs" "libc" "long int" (n long))
  (assert (= (f "abc") 3))
  (assert (= (g -3) 3))
  (assert (= (repr g) "long labs(long n)")))

(defn test-values-behind-pointers []
  (defshared frexp "frexp" "m" :double (x :double) (exponent (:out :int)))
  (assert (= (frexp 8.0) #(0.5 4)))
  (assert (= (repr frexp) "double frexp(double x, int *exponent)"))
  (defshared memcmp "memcmp" "libc" :int (a (:in :int)) (b (:in :int)) (size :size))
  (assert (= 0 (memcmp 7 7 (sizeof :int))))
  (assert (!= 0 (memcmp 7 8 (sizeof :int)))))

(defn test-an-array-parameter-is-a-copied-sequence []
  (defshared memcmp "memcmp" "libc" :int (a (:array :int 3)) (b (:array :int)) (size :size))
  (assert (= 0 (memcmp [1 2 3] [1 2 3 4] (* 3 (sizeof :int))))))

(defn test-buffers []
  (setv target (bytearray 5))
  (defshared memcpy "memcpy" "libc" :pointer (target (:buffer :writable)) (source :buffer) (size :size))
  (memcpy target b"hello" 5)
  (assert (= target b"hello"))
  (with [_ (pytest.raises epsilon.ForeignError)]
    (memcpy b"read-only" b"hello" 5)))

(defn test-a-string-in-another-encoding []
  (defshared strlen-latin "strlen" "libc" :size (s (:string :encoding "latin-1")))
  (assert (= (strlen-latin "é") 1))
  (assert (= (strlen "é") 2))
  (defshared getenv "getenv" "libc" (:string :encoding None) (name :string))
  (assert (isinstance (getenv "PATH") bytes)))

(defn test-a-function-pointer-takes-any-callable []
  (defshared qsort "qsort" "libc" :void
    (base :pointer) (count :size) (width :size) (compare (:function :int ((:in :int) (:in :int)))))
  (with-foreign-memory ((numbers :int :initial [3 1 2]))
    (qsort numbers 3 4 (fn [a b] (- b a)))
    (assert (= (list numbers) [3 2 1]))))


;;; defshared-with-errno

(defshared-with-errno c-rmdir "rmdir" "libc" :int (path :string))
(defshared-with-errno c-opendir "opendir" "libc" :pointer (path :string))
(defshared-with-errno c-access "access" "libc" :int (path :string) (mode :int) :check zero)

(defn test-a-failure-raises-errno []
  (with [caught (pytest.raises epsilon.ForeignOSError)]
    (c-rmdir "/no/such/folder"))
  (assert (= caught.value.code caught.value.errno errno.ENOENT))
  (assert (= caught.value.function "rmdir"))
  (assert (= (epsilon.errno) errno.ENOENT)))

(defn test-a-null-result-is-a-failure []
  (with [caught (pytest.raises OSError)]
    (c-opendir "/no/such/folder"))
  (assert (= caught.value.errno errno.ENOENT)))

(defn test-another-check-is-taken []
  (assert (= 0 (c-access os.devnull os.R-OK)))
  (with [_ (pytest.raises epsilon.ForeignOSError)]
    (c-access "/no/such/file" os.R-OK)))


;;; shared-call

(defn test-a-call-in-all-spellings []
  (assert (= 5
             (shared-call '("strlen" "libc") :unsigned-long '(:string) "hello")
             (shared-call ["strlen" "libc"] :unsigned-long [:string] "hello")
             (shared-call ("strlen" "libc") "unsigned long" ("const char *") "hello")
             (shared-call ["strlen" libc] ':unsigned-long '[:string] "hello")))
  (setv target #("strlen" "libc")
        types ["string"]
        arguments ["hello"])
  (assert (= 5
             (shared-call target :unsigned-long '(:string) "hello")
             (shared-call target :unsigned-long types "hello")
             (shared-call '("strlen" "libc") :unsigned-long types "hello")
             (shared-call '("strlen" "libc") :unsigned-long '(:string) #* arguments))))

(defn test-a-registered-name-stands-for-types []
  (register-signature 'length-of-text :unsigned-long '(:string))
  (setv name "length-of-text")
  (assert (= 5
             (shared-call '("strlen" "libc") 'length-of-text "hello")
             (shared-call '("strlen" "libc") "length-of-text" "hello")
             (shared-call '("strlen" "libc") name "hello"))))

(defn test-a-call-with-types-that-c-cannot-say []
  (assert (= #(0.5 4) (shared-call '("frexp" "m") :double '(:double (:out :int)) 8.0)))
  (assert (= (quotient 3 2) (shared-call '("div" "libc") quotient '(:int :int) 17 5))))

(defn test-a-variadic-call []
  (with-foreign-memory ((text :char :count 20))
    (shared-call '("snprintf" "libc") :int '((:pointer :char) :size :string ...) text 20 "%s-%d" "a" 1)
    (assert (= (foreign-string text) "a-1"))))

(defn test-a-missing-symbol-is-named []
  (with [_ (pytest.raises epsilon.SymbolNotFoundError :match "strlne")]
    (shared-call '("strlne" "libc") :size '(:string) "hello")))


;;; define-library

(define-library the-maths (:linux "libm.so.99" "libm.so.6") (:darwin "libm") (:windows "ucrtbase"))

(defn test-a-defined-library-serves-by-its-name []
  (assert (= (shared-call '("cos" "the-maths") :double '(:double) 0.0) 1.0)))


;;; Signatures

(defn test-a-name-is-registered-once []
  (register-signature 'two-ints :int '(:int :int))
  (register-signature "two-ints" :int [:int :int])
  (register-signature :two-ints "int" ("signed int" "int"))
  (with [_ (pytest.raises epsilon.ForeignTypeError :match "replace")]
    (register-signature 'two-ints :int '(:int)))
  (register-signature 'two-ints :int '(:int) :replace True)
  (assert (= (len (. epsilon.registry ["two-ints"] parameters)) 1)))

(defn test-one-trampoline-for-all-spellings []
  (assert (is (get-or-create-trampoline :int '(:int (:pointer :char)))
              (get-or-create-trampoline "signed int" ["int" "char *"])
              (get-or-create-trampoline :int [:int '(:pointer :char)]))))


;;; Callbacks

(defcallback compare-ints :int ((a (:in :int)) (b (:in :int)))
  (- a b))

(defcallback divide :int ((a :int) (b :int)) :on-error -7
  "The quotient."
  (setv result (// a b))
  result)

(defcallback do-nothing :void ())

(setv call-two (get-or-create-trampoline :int '(:int :int)))

(defn test-a-callback-is-called-by-c-and-by-lisp []
  (with-foreign-memory ((numbers :int :initial [3 1 2]))
    (shared-call '("qsort" "libc") :void '(:pointer :size :size :pointer) numbers 3 4 compare-ints)
    (assert (= (list numbers) [1 2 3])))
  (assert (= (compare-ints 5 3) 2))
  (assert (= (call-two divide.address 7 2) 3)))

(defn test-a-callback-has-its-name-and-docstring []
  (assert (= divide.__doc__ "The quotient."))
  (assert (= divide.__name__ "divide"))
  (assert (in "int (int, int)" (repr divide))))

(defn test-the-exception-of-a-callback-is-raised-by-the-call []
  (with [caught (pytest.raises ZeroDivisionError)]
    (call-two divide.address 1 0)))

(defn test-a-body-without-forms []
  (assert (is ((get-or-create-trampoline :void '()) do-nothing.address) None)))

(defn test-out-parameters-are-results-of-the-body []
  (defcallback halve :int ((n :int) (rest (:out :int)) (total (:inout :long)))
    #((// n 2) (% n 2) (+ total n)))
  (assert (= ((get-or-create-trampoline :int '(:int (:out :int) (:inout :long))) halve.address 7 100)
             #(3 1 107))))

(defn test-structs-in-callbacks []
  (defcallback swapped quotient ((q quotient))
    (quotient q.rem q.quot))
  (assert (= ((get-or-create-trampoline quotient [quotient]) swapped.address (quotient 1 2)) (quotient 2 1))))

(defn test-a-callback-closes-over-its-variables []
  (defn adder [n]
    (defcallback add :int ((x :int)) (+ x n))
    add)
  (setv one (adder 1) ten (adder 10)
        call (get-or-create-trampoline :int '(:int)))
  (assert (= [(call one.address 5) (call ten.address 5)] [6 15])))

(defn test-make-callback []
  (setv double (make-callback (fn [x] (* x 2)) :int '(:int) :on-error -1))
  (assert (= 42 ((get-or-create-trampoline :int '(:int)) double.address 21)))
  (register-signature 'int-function :int '(:int))
  (setv triple (make-callback (fn [x] (* x 3)) 'int-function))
  (assert (= 63 ((get-or-create-trampoline :int '(:int)) triple.address 21)))
  (setv types ["int"]
        quadruple (make-callback (fn [x] (* x 4)) :int types))
  (assert (= 84 ((get-or-create-trampoline :int '(:int)) quadruple.address 21))))

(defn test-with-callback []
  (setv result
    (with-callback [(smaller (fn [a b] (min a b)) :int '(:int :int))
                    (larger (fn [a b] (max a b)) :int [:int :int] :on-error 0)]
      [(call-two smaller.address 3 5) (call-two larger.address 3 5)]))
  (assert (= result [3 5]))
  (with [_ (pytest.raises epsilon.CallbackClosedError)]
    (call-two smaller.address 3 5)))


;;; Structs

(define-c-struct timespec (sec :long) (nsec :long))
(define-c-struct span (from :long) (name :string) (start timespec) (xs (:array :int 3)) (long :double))

(defn test-a-struct-is-made-read-and-written []
  (setv now (timespec :sec 5))
  (setv (struct-ref now 'nsec) 7)
  (setv (struct-ref now sec) (+ (struct-ref now 'sec) 1))
  (+= (struct-ref now :nsec) 1)
  (assert (= [(struct-ref now "sec") (struct-ref now 'nsec)] [6 8]))
  (for [[name value] [["sec" 6] ["nsec" 8]]]
    (assert (= (struct-ref now (get [name] 0)) value)))
  (with [_ (pytest.raises epsilon.ForeignError :match "nsec")]
    (setv (struct-ref now 'nsek) 1)))

(defn test-members-of-every-kind []
  (setv one (span :name "one" :start (timespec 1 2) :xs [1 2 3]))
  (setv (struct-ref one 'long) 2.5)    ; the member is `long_` in C
  (setv (get (struct-ref one 'xs) 1) 20)
  (setv (struct-ref (struct-ref one 'start) 'sec) 9)
  (assert (= (list one.xs) [1 20 3]))
  (assert (= one.start (timespec 9 2)))
  (assert (= one.long- 2.5))
  (assert (= one.name "one")))

(defn test-the-length-of-an-array-is-computed []
  (setv N 4)
  (define-c-struct block (size :int) (data (:array :short N)))
  (assert (= block.size (+ 4 (* 2 N)))))

(defn test-a-struct-points-to-itself []
  (define-c-struct node (value :int) (next (:pointer node)))
  (setv first (node 1)
        second (node 2 (struct-pointer first)))
  (assert (= (. (deref (struct-ref second 'next)) value) 1))
  ;; and once more, as at a REPL: the new node's pointers are to new nodes
  (define-c-struct node (value :long) (next (:pointer node)))
  (assert (= (. (deref (. (node 2 (struct-pointer (node 1))) next)) value) 1)))

(defn test-a-definition-that-fails-leaves-the-earlier-one []
  (define-c-struct kept (a :int))
  (with [_ (pytest.raises epsilon.ForeignTypeError)]
    (define-c-struct kept (a (:struct never-defined))))
  (assert (= (sizeof (:struct kept)) 4)))

(defn test-a-struct-from-its-declaration-in-c []
  (define-c-struct-auto pair "struct pair { char c; double d; };")
  (assert (= [pair.size (.offset pair "d")] [16 8]))
  (assert (= (repr (pair :c "x" :d 2)) "pair(c=120, d=2.0)")))

(defn test-with-c-struct []
  (setv result
    (with-c-struct ((start timespec 1 2) (end timespec :sec 3))
      (- (struct-ref end 'sec) (struct-ref start 'sec))))
  (assert (= result 2))
  (with [_ (pytest.raises epsilon.ForeignMemoryError)]
    start.sec))

(defclass Recorder []
  (setv log [])
  (defn __init__ [self name] (setv self.name name))
  (defn __enter__ [self] self)
  (defn __exit__ [self #* _] (.append self.log self.name)))

(defn test-bindings-end-in-reverse-order []
  (with [_ (pytest.raises ZeroDivisionError)]
    (with-c-struct ((a Recorder "a") (b Recorder "b") (c Recorder "c"))
      (/ 1 0)))
  (assert (= Recorder.log ["c" "b" "a"])))


;;; Memory

(defn test-foreign-alloc []
  (for [memory [(foreign-alloc :int :count 3 :initial [7 8])
                (foreign-alloc "int" 3 :initial [7 8])
                (foreign-alloc ':int :initial [7 8 0])]]
    (assert (= (list memory) [7 8 0]))
    (foreign-free memory)
    (with [_ (pytest.raises epsilon.ForeignMemoryError)]
      (get memory 0)))
  (assert (= (. (get (foreign-alloc timespec :initial [(timespec 1 2)]) 0) nsec) 2)))

(defn test-with-foreign-memory-frees-on-an-exception []
  (with [_ (pytest.raises ZeroDivisionError)]
    (with-foreign-memory ((p :int :count 2) [q (:pointer :int)] (r timespec))
      (setv (get p 0) 5
            (get q 0) p)
      (assert (= (deref (get q 0)) 5))
      (/ 1 0)))
  (for [memory [p q r]]
    (assert (not memory.alive))))

(defn test-with-foreign-memory-gives-its-last-value []
  (assert (= 45 (with-foreign-memory (p :int :count 10 :initial (range 10))
                  (sum p)))))

(defn test-pooled-blocks-that-are-used-at-once-are-different []
  (with-pooled-memory ((p :int :count 10) (q :int :count 10))
    (setv addresses [p.address q.address]))
  (assert (= (len (set addresses)) 2))
  (with-pooled-memory (again :int :count 10)
    (assert (in again.address addresses))))

(defn test-with-pinned-array []
  (setv data (bytearray b"abc"))
  (with-pinned-array [(p data) (q b"read-only")]
    (setv (get p 0) (ord "x"))
    (with [_ (pytest.raises epsilon.ForeignMemoryError)]
      (setv (get q 0) 0)))
  (assert (= data b"xbc")))

(defn test-deref []
  (with-foreign-memory ((p :int :initial [1 258]))
    (setv i 1)
    (assert (= [(deref p) (deref p 1) (deref p i) (deref p :int) (deref p i :short) (deref p :short 2)]
               [1 258 258 1 0 258]))
    (assert (= (deref p (:array :short 2) i) [258 0]))
    (with [_ (pytest.raises epsilon.ForeignIndexError)]
      (deref p 2))
    (with [_ (pytest.raises epsilon.ForeignIndexError)]
      (deref p 1 :long))))

(defn test-sizes []
  (assert (= [(sizeof :int) (sizeof "int") (sizeof int) (sizeof (:array :int 3)) (sizeof timespec) (alignof :double)]
             [4 4 4 12 16 8]))
  (with [_ (pytest.raises epsilon.ForeignTypeError)]
    (sizeof (:struct never-defined))))


;;; Batches

(defn test-a-batch-gives-all-results-in-order []
  (setv log [])
  (defn note [x] (.append log x) x)
  (assert (= (with-foreign-batch
               (strlen "a")
               (note 1)
               (try (/ 1 0) (except [ZeroDivisionError] (note 2)))
               (note 3)
               (strlen "four"))
             [1 1 2 3 4]))
  (assert (= log [1 2 3]))
  (assert (= (with-foreign-batch) [])))


;;; Converters

(defclass Degrees []
  (defn __init__ [self number] (setv self.number number)))

(defconverter to-foreign [angle Degrees] :double
  (setv number angle.number)
  (math.radians number))

(defn test-a-class-becomes-a-c-type []
  (assert (= (shared-call '("cos" "m") :double '(:double) (Degrees 0)) 1.0))
  (assert (= (epsilon.convert-to-foreign (Degrees 180) ':double) math.pi)))

(defn test-a-c-type-becomes-a-class []
  (define-c-struct angle (degrees :double))
  (defconverter from-foreign [value angle] angle
    (Degrees value.degrees))
  (defcallback right-angle angle () (angle 90))
  (assert (= (. ((get-or-create-trampoline angle []) right-angle.address) number) 90.0)))

(defn test-a-path-is-a-string []
  (assert (= (strlen (pathlib.Path "/usr")) 4)))

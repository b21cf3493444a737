"Every example of the page that the vocabulary comes from (``epsilon-ffi-original.md``), in Hy's spelling and in its order.

``setv`` stands for ``setf``, ``with`` and ``try`` for SBCL's own forms, and a living function for one that C libraries
have dropped (``OPENSSL_init_ssl`` for ``SSL_library_init``) or never had (``memset`` for ``process_bytes``)."

(import array os pathlib socket
        epsilon pytest
        epsilon [deref-int foreign-error-code foreign-error-function foreign-free foreign-string lib-close lib-open
                 null-pointer? struct-layout-size struct-pointer])
(require epsilon *)


;;; Type System

(defn test-every-word-is-a-type []
  (assert (= (lfor size [(sizeof :int) (sizeof :char) (sizeof :unsigned-char) (sizeof :short) (sizeof :unsigned-short)
                         (sizeof :unsigned-int) (sizeof :float) (sizeof :double) (sizeof :bool)]
               size)
             [4 1 1 2 2 4 4 8 1]))
  (assert (= (sizeof :long) (sizeof :unsigned-long) (sizeof :size) (sizeof :pointer) (sizeof :string))))


;;; Basic Usage: Function Calls

(defn test-simple-function-call []
  (assert (= (shared-call '("strlen" "libc") :unsigned-long '(:string) "hello") 5)))

(defshared my-strlen "strlen" "libc" :unsigned-long (s :string))

(defn test-reusable-binding []
  (assert (= (my-strlen "world") 5)))


;;; Library Management

(defn test-libraries-are-opened-and-closed []
  (setv handle (lib-open "libssl"))
  (lib-close handle)
  (assert handle.closed))

(defn test-search-paths [monkeypatch]
  (monkeypatch.setattr epsilon "library_search_paths" [])
  (setv epsilon.library-search-paths ["/usr/lib" "/opt/lib"])
  (with [handle (lib-open "libssl")]
    (assert (> (.address handle "TLS_client_method") 0))))


;;; Memory Management

(defn use-foreign-memory [ptr]
  (setv (get ptr 9) 7)
  (sum ptr))

(defn test-basic-allocation []
  (setv ptr (foreign-alloc :int :count 10))
  (try
    (assert (= (use-foreign-memory ptr) 7))
    (finally (foreign-free ptr)))
  (with [_ (pytest.raises epsilon.ForeignMemoryError)]
    (use-foreign-memory ptr)))

(defn test-scoped-allocation []
  (with-foreign-memory ((ptr :int :count 10))
    (assert (= (use-foreign-memory ptr) 7)))
  (with [_ (pytest.raises epsilon.ForeignMemoryError)]
    (use-foreign-memory ptr)))

(defn test-array-handling []
  (setv array (bytearray 1000))
  (with-pinned-array (ptr array)
    (shared-call '("memset" "libc") :pointer
                 '(:pointer :int :unsigned-long) ptr 7 1000))
  (assert (= array (* (bytes [7]) 1000))))


;;; Struct Support

(define-c-struct timespec
  (sec :long)
  (nsec :long))

(define-c-struct-auto stat-struct
  "struct stat { dev_t st_dev; ino_t st_ino; /* ... */ };")

(defn test-definition-and-layout []
  (assert (= timespec.size (* 2 (sizeof :long))))
  (assert (= (.offset stat-struct "st_ino") (sizeof dev_t)))
  (assert (= (repr (stat-struct :st-dev 1 :st-ino 2)) "stat_struct(st_dev=1, st_ino=2)")))

(defn test-struct-usage []
  (with-c-struct (ts timespec)
    (setv (struct-ref ts 'sec) 123456789)
    (setv (struct-ref ts 'nsec) 500000000)
    (assert (= (dict ts) {"sec" 123456789  "nsec" 500000000}))
    (setv (struct-ref ts 'sec) 0)    ; and so that the test ends within four years:
    (setv (struct-ref ts 'nsec) 1)
    (assert (= 0 (shared-call '("nanosleep" "libc") :int '(:pointer :pointer)
                              (struct-pointer ts) None)))))


;;; Callback System

(defn test-make-callback []
  (setv callback (make-callback (fn [x] (* x 2)) :int '(:int)))
  (assert (> (. callback address) 0))
  (assert (= ((get-or-create-trampoline :int '(:int)) callback.address 21) 42)))

(defn test-qsort-with-a-callback []
  (setv numbers (array.array "i" [3 1 4 1 5 9 2 6])
        compare-fn (fn [a-ptr b-ptr]
                     (setv a (deref a-ptr :int)
                           b (deref b-ptr :int))
                     (cond (< a b) -1
                           (> a b) 1
                           True 0))
        callback-ptr (make-callback compare-fn :int '(:pointer :pointer)))
  (with-pinned-array (ptr numbers)
    (shared-call '("qsort" "libc") :void
                 '(:pointer :unsigned-long :unsigned-long :pointer)
                 ptr 8 4 callback-ptr))
  (assert (= (list numbers) [1 1 2 3 4 5 6 9])))

(defcallback my-comparator :int ((a :pointer) (b :pointer))
  (- (deref-int a) (deref-int b)))

(defn test-named-callback []
  (with-foreign-memory ((numbers :int :initial [3 1 2]))
    (shared-call '("qsort" "libc") :void '(:pointer :size :size :pointer) numbers 3 4 my-comparator)
    (assert (= (list numbers) [1 2 3]))))

(defn use-callback [callback]
  ((get-or-create-trampoline :int '(:int :int)) callback.address 7 5))

(defn test-scoped-callback []
  (with-callback (cmp (fn [x y] (- (> x y) (< x y))) :int '(:int :int))
    (assert (= (use-callback cmp) 1)))
  (with [_ (pytest.raises epsilon.CallbackClosedError)]
    (use-callback cmp)))


;;; Error Handling

(defshared-with-errno c-open "open" "libc" :int
  (path :string) (flags :int) (mode :int))

(defn test-errno-is-checked []
  (with [caught (pytest.raises epsilon.ForeignError)]
    (c-open "/no/such/file" os.O-RDONLY 0))
  (assert (= (foreign-error-code caught.value) 2))
  (assert (= (foreign-error-function caught.value) "open"))
  (setv descriptor (c-open os.devnull os.O-RDONLY 0))
  (os.close descriptor))


;;; Type Marshalling

(defn test-string-handling []
  (setv value (shared-call '("getenv" "libc") :pointer '(:string) "PATH"))
  (assert (= (foreign-string value) (get os.environ "PATH")))
  (assert (null-pointer? (shared-call '("getenv" "libc") :pointer '(:string) "EPSILON_HAS_NO_SUCH_VARIABLE"))))

(defn test-array-passing [tmp-path]
  (setv byte-array (bytearray b"written by C\n")
        path (/ tmp-path "out"))
  (with [file (open path "wb")]
    (with-pinned-array (ptr byte-array)
      (assert (= (len byte-array)
                 (shared-call '("write" "libc") :long
                              '(:int :pointer :unsigned-long) (.fileno file) ptr (len byte-array))))))
  (assert (= (.read-bytes path) b"written by C\n")))

(define-c-struct sockaddr-in
  (sin-family :unsigned-short)
  (sin-port :unsigned-short)
  (sin-addr (:array :uint8 4))
  (sin-zero (:array :uint8 8)))

(defn test-struct-passing []
  (with [sock (socket.socket socket.AF-INET socket.SOCK-DGRAM)]
    (with-c-struct (addr sockaddr-in)
      (setv (struct-ref addr 'sin-family) socket.AF-INET
            (struct-ref addr 'sin-addr) [127 0 0 1])
      (assert (= 0 (shared-call '("bind" "libc") :int
                                '(:int :pointer :unsigned-int)
                                (.fileno sock) (struct-pointer addr) (struct-layout-size addr)))))
    (assert (= (get (.getsockname sock) 0) "127.0.0.1"))))

(defn test-a-path-is-a-string []
  (assert (= (my-strlen (pathlib.Path "/usr/lib")) 8)))

(defclass Name []
  (defn __init__ [self text] (setv self.text text)))

;; An encoding of its own makes a type of its own: what is registered for it concerns nobody else.
(setv latin '(:string :encoding "cp1252"))

(defconverter to-foreign [value Name] latin
  (.lower value.text))

(defconverter from-foreign [value str] latin
  (Name value))

(defshared latin-strchr "strchr" "libc" latin (text latin) (character :int))

(defn test-custom-converters []
  (setv found (latin-strchr (Name "ÅNGSTRÖM") (ord "g")))
  (assert (isinstance found Name))
  (assert (= found.text "gström")))


;;; Advanced Features

(defn test-signature-registry []
  (register-signature 'strlen :unsigned-long '(:string))
  (setv trampoline (get-or-create-trampoline :unsigned-long '(:string)))
  (assert (is trampoline (get-or-create-trampoline "unsigned long" ["const char *"])))
  (assert (= (trampoline (.address (lib-open "libc") "strlen") "four") 4))
  (assert (= (shared-call '("strlen" "libc") 'strlen "hi") 2)))

(defn use-temporary-memory [ptr]
  (setv (get ptr 99) 1)
  ptr.address)

(defn test-memory-pools []
  (setv addresses [])
  (for [_ (range 3)]
    (with-pooled-memory ((ptr :int :count 100))
      (.append addresses (use-temporary-memory ptr))))
  (assert (= (len (set addresses)) 1)))

(defn test-batch-operations []
  (assert (= (with-foreign-batch
               (my-strlen "a")
               (my-strlen "bc")
               (my-strlen "def"))
             [1 2 3])))


;;; Integration Examples

(defshared ssl-library-init "OPENSSL_init_ssl" "libssl" :int (options :uint64) (settings :pointer))
(defshared ssl-ctx-new "SSL_CTX_new" "libssl" :pointer (method :pointer))
(defshared ssl-ctx-free "SSL_CTX_free" "libssl" :void (context :pointer))
(defshared tls-client-method "TLS_client_method" "libssl" :pointer)

(defn test-openssl []
  (assert (= (ssl-library-init 0 None) 1))
  (let [ctx (ssl-ctx-new (tls-client-method))]
    (assert (not (null-pointer? ctx)))
    (ssl-ctx-free ctx)))

(defshared sqlite3-open "sqlite3_open" "libsqlite3" :int
  (filename :string) (ppdb :pointer))

(defn use-database [database]
  (assert (= (shared-call '("sqlite3_exec" "libsqlite3") :int '(:pointer :string :pointer :pointer :pointer)
                          database "CREATE TABLE t (x)" None None None)
             0))
  (shared-call '("sqlite3_close" "libsqlite3") :int '(:pointer) database))

(defn test-sqlite [tmp-path]
  (with-foreign-memory ((db-ptr :pointer))
    (let [result (sqlite3-open (str (/ tmp-path "test.db")) db-ptr)]
      (when (= result 0)
        (assert (= (use-database (deref db-ptr 0)) 0)))))
  (assert (.exists (/ tmp-path "test.db"))))


;;; Migration Guide

(defshared strlen "strlen" "libc" :unsigned-long (str :string))

(defn test-migration []
  (assert (= (strlen "hello") 5)))

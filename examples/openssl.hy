"OpenSSL from Lisp: a file is hashed, and a TLS 1.3 connection is made to a server that this program starts itself.

Run it with ``hy examples/openssl.hy``. It needs OpenSSL 1.1.1 or newer (``libssl3`` on Debian), and no header, compiler,
certificate or network: key and certificate are made here, in memory, and both ends talk over the loopback interface.
The C declarations are those of OpenSSL's manual pages, section 3."

(import epsilon [ForeignError foreign-string]
        hashlib socket threading)
(require epsilon [defcallback define-library defshared with-foreign-memory])

;; The names to try, in this order. `define-library` is only needed where a plain name such as "libssl" is not enough.
(define-library crypto
  (:linux "libcrypto.so.3" "libcrypto.so.1.1" "libcrypto")
  (:darwin "libcrypto.3.dylib" "libcrypto")
  (:windows "libcrypto-3-x64" "libcrypto-1_1-x64"))
(define-library ssl
  (:linux "libssl.so.3" "libssl.so.1.1" "libssl")
  (:darwin "libssl.3.dylib" "libssl")
  (:windows "libssl-3-x64" "libssl-1_1-x64"))

;; What OpenSSL reports, its checks declare: a constructor must not give NULL (`:check non-null`), most others give 1 for
;; success (`:check positive`). A failed check raises ForeignError; the reason is in OpenSSL's queue of errors.
(defshared err-get-error "ERR_get_error" "crypto" :unsigned-long)
(defshared err-error-string "ERR_error_string_n" "crypto" :void
  (code :unsigned-long) (text (:pointer :char)) (size :size))

(defn openssl-reason []
  "The oldest error in this thread's queue, in words."
  (with-foreign-memory ((text :char :count 256))
    (err-error-string (err-get-error) text (len text))
    (foreign-string text)))


;;; 1. Hash a file

(defshared openssl-version "OpenSSL_version" "crypto" :string (what :int))
(defshared evp-md-ctx-new "EVP_MD_CTX_new" "crypto" (:pointer (:struct evp_md_ctx_st)) :check non-null)
(defshared evp-md-ctx-free "EVP_MD_CTX_free" "crypto" :void (context (:pointer (:struct evp_md_ctx_st))))
(defshared evp-get-digestbyname "EVP_get_digestbyname" "crypto" (:pointer (:struct evp_md_st)) (name :string)
  :check non-null)
(defshared evp-digest-init "EVP_DigestInit_ex" "crypto" :int
  (context (:pointer (:struct evp_md_ctx_st))) (type (:pointer (:struct evp_md_st))) (engine :pointer)
  :check positive)
;; `:buffer` takes bytes, a bytearray, an array …, and hands C its memory without a copy.
(defshared evp-digest-update "EVP_DigestUpdate" "crypto" :int
  (context (:pointer (:struct evp_md_ctx_st))) (data :buffer) (size :size)
  :check positive)
;; The digest goes into a buffer of ours; how long it is, C tells through the last pointer.
(defshared evp-digest-final "EVP_DigestFinal_ex" "crypto" :int
  (context (:pointer (:struct evp_md_ctx_st))) (digest (:buffer :writable)) (size (:out :unsigned-int))
  :check positive)

(setv MAX-DIGEST 64)    ; EVP_MAX_MD_SIZE

(defn hash-file [path [algorithm "SHA256"]]
  "The digest of a file, as bytes. The file is read in pieces, however long it is."
  (setv context (evp-md-ctx-new))
  (try
    (evp-digest-init context (evp-get-digestbyname algorithm) None)
    (with [file (open path "rb")]
      (while (setx piece (.read file 65536))
        (evp-digest-update context piece (len piece))))
    (setv digest (bytearray MAX-DIGEST)
          [_ size] (evp-digest-final context digest))
    (bytes (cut digest size))
    (finally (evp-md-ctx-free context))))


;;; 2. A key and a certificate

(setv Key '(:pointer (:struct evp_pkey_st))    ; a variable may hold a type, and stand for it
      Certificate '(:pointer (:struct x509_st)))

(defshared evp-pkey-ctx-new "EVP_PKEY_CTX_new_id" "crypto" (:pointer (:struct evp_pkey_ctx_st)) (id :int) (engine :pointer)
  :check non-null)
(defshared evp-pkey-ctx-free "EVP_PKEY_CTX_free" "crypto" :void (context (:pointer (:struct evp_pkey_ctx_st))))
(defshared evp-pkey-keygen-init "EVP_PKEY_keygen_init" "crypto" :int (context (:pointer (:struct evp_pkey_ctx_st)))
  :check positive)
;; EVP_PKEY_keygen reads its last parameter before it writes it (NULL: make a new key), so it is `:inout`.
(defshared evp-pkey-keygen "EVP_PKEY_keygen" "crypto" :int
  (context (:pointer (:struct evp_pkey_ctx_st))) (key (:inout Key))
  :check positive)
(defshared evp-pkey-free "EVP_PKEY_free" "crypto" :void (key Key))

(defshared x509-new "X509_new" "crypto" Certificate :check non-null)
(defshared x509-free "X509_free" "crypto" :void (certificate Certificate))
(defshared x509-set-version "X509_set_version" "crypto" :int (certificate Certificate) (version :long) :check positive)
(defshared x509-serial "X509_get_serialNumber" "crypto" :pointer (certificate Certificate) :check non-null)
(defshared asn1-integer-set "ASN1_INTEGER_set" "crypto" :int (integer :pointer) (value :long) :check positive)
(defshared x509-not-before "X509_getm_notBefore" "crypto" :pointer (certificate Certificate) :check non-null)
(defshared x509-not-after "X509_getm_notAfter" "crypto" :pointer (certificate Certificate) :check non-null)
(defshared x509-gmtime-adj "X509_gmtime_adj" "crypto" :pointer (time :pointer) (seconds :long) :check non-null)
(defshared x509-set-pubkey "X509_set_pubkey" "crypto" :int (certificate Certificate) (key Key) :check positive)
(defshared x509-subject "X509_get_subject_name" "crypto" :pointer (certificate Certificate) :check non-null)
(defshared x509-name-add "X509_NAME_add_entry_by_txt" "crypto" :int
  (name :pointer) (field :string) (type :int) (text :string) (length :int) (location :int) (set :int)
  :check positive)
(defshared x509-set-issuer "X509_set_issuer_name" "crypto" :int (certificate Certificate) (name :pointer) :check positive)
(defshared x509v3-extension "X509V3_EXT_conf_nid" "crypto" :pointer
  (config :pointer) (context :pointer) (id :int) (value :string)
  :check non-null)
(defshared x509-add-extension "X509_add_ext" "crypto" :int (certificate Certificate) (extension :pointer) (location :int)
  :check positive)
(defshared x509-extension-free "X509_EXTENSION_free" "crypto" :void (extension :pointer))
(defshared x509-sign "X509_sign" "crypto" :int (certificate Certificate) (key Key) (digest :pointer) :check positive)

;; From <openssl/obj_mac.h> and <openssl/asn1.h>. Macros leave no symbol in a library, so we write their values.
(setv NID-ED25519 1087  NID-SUBJECT-ALT-NAME 85  MBSTRING-ASC 0x1001)

(defn make-key []
  (setv context (evp-pkey-ctx-new NID-ED25519 None))
  (try
    (evp-pkey-keygen-init context)
    (setv [_ key] (evp-pkey-keygen context None))
    key
    (finally (evp-pkey-ctx-free context))))

(defn make-certificate [key name]
  "A certificate for `name`, good for an hour, signed with the key that it certifies."
  (setv certificate (x509-new))
  (x509-set-version certificate 2)    ; counted from 0: X.509 version 3
  (asn1-integer-set (x509-serial certificate) 1)
  (x509-gmtime-adj (x509-not-before certificate) 0)
  (x509-gmtime-adj (x509-not-after certificate) 3600)
  (x509-set-pubkey certificate key)
  (setv subject (x509-subject certificate))
  (x509-name-add subject "CN" MBSTRING-ASC name -1 -1 0)
  (x509-set-issuer certificate subject)
  (setv extension (x509v3-extension None None NID-SUBJECT-ALT-NAME f"DNS:{name}"))
  (x509-add-extension certificate extension -1)
  (x509-extension-free extension)
  (x509-sign certificate key None)
  certificate)


;;; 3. TLS

(setv Context '(:pointer (:struct ssl_ctx_st))
      Connection '(:pointer (:struct ssl_st)))

(defshared tls-client-method "TLS_client_method" "ssl" :pointer)
(defshared tls-server-method "TLS_server_method" "ssl" :pointer)
(defshared ssl-ctx-new "SSL_CTX_new" "ssl" Context (method :pointer) :check non-null)
(defshared ssl-ctx-free "SSL_CTX_free" "ssl" :void (context Context))
(defshared ssl-ctx-ctrl "SSL_CTX_ctrl" "ssl" :long (context Context) (command :int) (number :long) (pointer :pointer)
  :check positive)
(defshared ssl-ctx-use-certificate "SSL_CTX_use_certificate" "ssl" :int (context Context) (certificate Certificate)
  :check positive)
(defshared ssl-ctx-use-key "SSL_CTX_use_PrivateKey" "ssl" :int (context Context) (key Key) :check positive)
(defshared ssl-ctx-store "SSL_CTX_get_cert_store" "ssl" :pointer (context Context) :check non-null)
(defshared x509-store-add "X509_STORE_add_cert" "crypto" :int (store :pointer) (certificate Certificate) :check positive)
(defshared ssl-ctx-set-verify "SSL_CTX_set_verify" "ssl" :void (context Context) (mode :int) (callback :pointer))
(defshared x509-store-depth "X509_STORE_CTX_get_error_depth" "crypto" :int (store :pointer))

(defshared ssl-new "SSL_new" "ssl" Connection (context Context) :check non-null)
(defshared ssl-free "SSL_free" "ssl" :void (connection Connection))
(defshared ssl-set-fd "SSL_set_fd" "ssl" :int (connection Connection) (descriptor :int) :check positive)
(defshared ssl-set-host "SSL_set1_host" "ssl" :int (connection Connection) (name :string) :check positive)
;; These block. Epsilon releases Python's lock for the length of every call that does not ask to keep it, so the server's
;; thread runs while the client's waits in C.
(defshared ssl-connect "SSL_connect" "ssl" :int (connection Connection) :check positive)
(defshared ssl-accept "SSL_accept" "ssl" :int (connection Connection) :check positive)
(defshared ssl-read "SSL_read" "ssl" :int (connection Connection) (data (:buffer :writable)) (size :int) :check positive)
(defshared ssl-write "SSL_write" "ssl" :int (connection Connection) (data :buffer) (size :int) :check positive)
(defshared ssl-shutdown "SSL_shutdown" "ssl" :int (connection Connection) :check nonnegative)
(defshared ssl-version "SSL_get_version" "ssl" :string (connection Connection))
(defshared ssl-verify-result "SSL_get_verify_result" "ssl" :long (connection Connection))
(defshared ssl-cipher "SSL_get_current_cipher" "ssl" :pointer (connection Connection) :check non-null)
(defshared ssl-cipher-name "SSL_CIPHER_get_name" "ssl" :string (cipher :pointer))

(setv SET-MIN-PROTO-VERSION 123  TLS1-3 0x0304  VERIFY-PEER 1  VERIFIED 0)

;; OpenSSL calls this for each certificate of the chain that the server shows, and obeys the result.
(defcallback note-certificate :int ((good :int) (store :pointer))
  (print f"  certificate at depth {(x509-store-depth store)}: {(if good "accepted" "refused")}")
  good)

(defn tls-context [method]
  "A context that speaks TLS 1.3 and nothing older."
  (setv context (ssl-ctx-new method))
  (ssl-ctx-ctrl context SET-MIN-PROTO-VERSION TLS1-3 None)
  context)

(defn receive [connection]
  (setv data (bytearray 1024)
        size (ssl-read connection data (len data)))
  (.decode (cut data size)))

(defn send [connection text]
  (setv data (.encode text))
  (ssl-write connection data (len data)))

(defn serve-one [listener key certificate]
  "Accept one connection, and answer what it says in capitals."
  (setv context (tls-context (tls-server-method)))
  (ssl-ctx-use-certificate context certificate)
  (ssl-ctx-use-key context key)
  (setv connection (ssl-new context))
  (try
    (with [peer (get (.accept listener) 0)]
      (ssl-set-fd connection (.fileno peer))
      (ssl-accept connection)
      (send connection (.upper (receive connection)))
      (ssl-shutdown connection))
    (finally
      (ssl-free connection)
      (ssl-ctx-free context))))

(defn ask [address certificate text]
  "Connect, trusting this certificate alone, and give the server's answer to `text`."
  (setv context (tls-context (tls-client-method)))
  (x509-store-add (ssl-ctx-store context) certificate)
  (ssl-ctx-set-verify context VERIFY-PEER note-certificate)
  (setv connection (ssl-new context))
  (try
    (with [peer (socket.create-connection address :timeout 30)]
      (.setblocking peer True)    ; OpenSSL is to wait in read(2), not to be told that there is nothing yet
      (ssl-set-fd connection (.fileno peer))
      (ssl-set-host connection "localhost")    ; the certificate must be for this name
      (ssl-connect connection)
      (print " " (ssl-version connection) "with" (ssl-cipher-name (ssl-cipher connection)))
      (assert (= (ssl-version connection) "TLSv1.3"))
      (assert (= (ssl-verify-result connection) VERIFIED))
      (send connection text)
      (setv answer (receive connection))
      (ssl-shutdown connection)
      answer)
    (finally
      (ssl-free connection)
      (ssl-ctx-free context))))

(defn handshake []
  (setv key (make-key)
        certificate (make-certificate key "localhost"))
  (try
    (with [listener (socket.create-server #("127.0.0.1" 0))]
      (setv server (threading.Thread :target serve-one :args [listener key certificate] :daemon True))
      (.start server)
      (setv answer (ask (.getsockname listener) certificate "hello from Lisp"))
      (.join server))
    (print "  the server answers:" answer)
    (assert (= answer "HELLO FROM LISP"))
    (finally
      (x509-free certificate)
      (evp-pkey-free key))))


(when (= __name__ "__main__")
  (print (openssl-version 0))
  (setv digest (hash-file __file__))
  (print "SHA-256 of this file:" (.hex digest))
  (assert (= digest (.digest (hashlib.sha256 (with [file (open __file__ "rb")] (.read file))))))
  (try
    (handshake)
    (except [error ForeignError]
      (raise (SystemExit f"{error}: {(openssl-reason)}")))))

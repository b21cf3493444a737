"OpenSSL by its headers alone: digests, AES-GCM held against NIST's vectors, and an X.509 certificate that is made and verified.

Run it with ``hy examples/header_openssl.hy``. It needs OpenSSL 3 with its headers (``libssl-dev`` on Debian) and a C compiler, the first
time. Four headers declare some six thousand functions; those that are used are bound when they are used."

(import epsilon [CompilerError ForeignError HeaderError LibraryLoadError foreign-string]
        hashlib sys)
(require epsilon [import-header with-foreign-memory])

;; An example without its library is nothing to fail about: it says what is missing, and where to get it.
(try
  (import-header ["openssl/evp.h" "openssl/x509.h" "openssl/pem.h" "openssl/err.h"] :library "libcrypto" :as crypto)
  (crypto.functions.__getitem__ "EVP_PKEY_Q_keygen")    ; new in OpenSSL 3
  (except [[CompilerError HeaderError KeyError LibraryLoadError]]
    (print "skipped: this example needs a C compiler and OpenSSL 3 with its headers (Debian: gcc libssl-dev)")
    (sys.exit 0)))

(defn good [result]
  "What an OpenSSL function gave, which is 1 or a pointer when all is well."
  (when (or (not result) (and (isinstance result int) (< result 1)))
    (raise (ForeignError (foreign-string (crypto.ERR-error-string (crypto.ERR-get-error) None)))))
  result)

(defmacro with-made [binding free #* body]
  "Bind what C makes to a name, and free it at the end of the body."
  `(do
     (setv ~@binding)
     (try ~@body (finally (~free ~(get binding 0))))))

;;; Digests

(defn digest [algorithm data]
  (with-made [context (good (crypto.EVP-MD-CTX-new))] crypto.EVP-MD-CTX-free
    (good (crypto.EVP-DigestInit-ex context algorithm None))
    (for [start (range 0 (len data) 7)]    ; piece by piece, as from a network
      (setv piece (cut data start (+ start 7)))
      (good (crypto.EVP-DigestUpdate context piece (len piece))))
    (with-foreign-memory ((result :unsigned-char :count crypto.EVP-MAX-MD-SIZE)
                          (size :unsigned-int :count 1))
      (good (crypto.EVP-DigestFinal-ex context result size))
      (bytes (cut (list result) (get size 0))))))

;;; AES-GCM

(defn run-gcm [encrypting cipher key iv extra text tag]
  "The text on the other side, and the tag; a tag that is not the text's raises."
  (with-made [context (good (crypto.EVP-CIPHER-CTX-new))] crypto.EVP-CIPHER-CTX-free
    (good (crypto.EVP-CipherInit-ex context cipher None key iv encrypting))
    (with-foreign-memory ((size :int :count 1)
                          (result :unsigned-char :count (+ (len text) 16))
                          (sixteen :unsigned-char :count 16))
      (good (crypto.EVP-CipherUpdate context None size extra (len extra)))
      (good (crypto.EVP-CipherUpdate context result size text (len text)))
      (setv other-side (bytes (cut (list result) (get size 0))))
      (when (not encrypting)
        (setv (cut sixteen None None) (list tag))
        (good (crypto.EVP-CIPHER-CTX-ctrl context crypto.EVP-CTRL-AEAD-SET-TAG 16 sixteen)))
      (when (!= 1 (crypto.EVP-CipherFinal-ex context result size))
        (raise (ValueError "the tag is not that of the text")))
      (when encrypting
        (good (crypto.EVP-CIPHER-CTX-ctrl context crypto.EVP-CTRL-AEAD-GET-TAG 16 sixteen)))
      #(other-side (bytes (list sixteen))))))

;; McGrew and Viega, The Galois/Counter Mode of Operation (submitted to NIST), appendix B: test cases 4 and 16.
(setv key (bytes.fromhex "feffe9928665731c6d6a8f9467308308")
      iv (bytes.fromhex "cafebabefacedbaddecaf888")
      extra (bytes.fromhex "feedfacedeadbeeffeedfacedeadbeefabaddad2")
      plain (bytes.fromhex (+ "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                              "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"))
      vectors [["AES-128-GCM" (crypto.EVP-aes-128-gcm) key
                (+ "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
                   "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091")
                "5bc94fbc3221a5db94fae95ae7121a47"]
               ["AES-256-GCM" (crypto.EVP-aes-256-gcm) (+ key key)
                (+ "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                   "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662")
                "76fc6ece0f4e1768cddf8853bb2d551b"]])

;;; Certificates

(defn new-certificate [name key]
  "A certificate for `name`, signed by itself, for a day."
  (setv certificate (good (crypto.X509-new)))
  (good (crypto.X509-set-version certificate crypto.X509-VERSION-3))
  (good (crypto.ASN1-INTEGER-set (crypto.X509-get-serialNumber certificate) 1))
  (good (crypto.X509-gmtime-adj (crypto.X509-getm-notBefore certificate) 0))
  (good (crypto.X509-gmtime-adj (crypto.X509-getm-notAfter certificate) 86400))
  (good (crypto.X509-set-pubkey certificate key))
  (setv subject (crypto.X509-get-subject-name certificate))
  (good (crypto.X509-NAME-add-entry-by-txt subject "CN" crypto.MBSTRING-UTF8 (.encode name) -1 -1 0))
  (good (crypto.X509-set-issuer-name certificate subject))
  (good (crypto.X509-sign certificate key (crypto.EVP-sha256)))
  certificate)

(defn verdict [certificate trusted]
  "What OpenSSL says of a certificate where those are trusted."
  (with-made [store (good (crypto.X509-STORE-new))] crypto.X509-STORE-free
    (for [one trusted]
      (good (crypto.X509-STORE-add-cert store one)))
    (with-made [context (good (crypto.X509-STORE-CTX-new))] crypto.X509-STORE-CTX-free
      (good (crypto.X509-STORE-CTX-init context store certificate None))
      (crypto.X509-verify-cert context)
      (crypto.X509-verify-cert-error-string (crypto.X509-STORE-CTX-get-error context)))))

(defn as-pem [certificate]
  (with-made [bio (good (crypto.BIO-new (crypto.BIO-s-mem)))] crypto.BIO-free
    (good (crypto.PEM-write-bio-X509 bio certificate))
    (with-foreign-memory ((text :char :count 4096))
      (foreign-string text :length (crypto.BIO-read bio text 4096)))))

;;; The program

(when (= __name__ "__main__")
  (print crypto.OPENSSL-VERSION-TEXT)
  (setv data (* b"header " 100))
  (for [[name algorithm] [["sha256" (crypto.EVP-sha256)] ["sha3_512" (crypto.EVP-sha3-512)]]]
    (setv ours (digest algorithm data))
    (assert (= ours (.digest (hashlib.new name data))))
    (print f"{name}: {(.hex (cut ours 16))}..., as hashlib has it"))

  (for [[name cipher key wanted tag] vectors]
    (setv secret (run-gcm 1 cipher key iv extra plain None))
    (assert (= secret #((bytes.fromhex wanted) (bytes.fromhex tag))))
    (setv [again _] (run-gcm 0 cipher key iv extra #* secret))
    (assert (= again plain))
    (try
      (run-gcm 0 cipher key iv extra (get secret 0) (bytes 16))
      (except [error ValueError]
        (print f"{name}: NIST's ciphertext and tag, and back; with another tag: {error}"))))

  (with-made [key (good (crypto.EVP-PKEY-Q-keygen None None "EC" "P-256"))] crypto.EVP-PKEY-free
    (with-made [certificate (new-certificate "Léonie" key)] crypto.X509-free
      (assert (= 1 (crypto.X509-verify certificate key)))
      (print "certificate:" (get (.split (as-pem certificate) "\n") 0))
      (print "  trusted:" (verdict certificate [certificate]))
      (print "  unknown:" (verdict certificate [])))))

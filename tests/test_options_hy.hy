"The options of calls, in Hy's spelling."

(require epsilon [defshared defshared-with-errno declare-c])
(import errno
        os
        pytest
        epsilon
        epsilon [ForeignOSError])

(defshared c-strerror "strerror" "libc" :string (number :int))
(defshared-with-errno c-close "close" "libc" :int (fd :int) :error c-strerror)
(defshared-with-errno c-open "open" "libc" :int (path :string) (flags :int)
  :error {"ENOENT" FileNotFoundError} :retry ["EINTR" "EAGAIN"] :attempts 3)
(defshared c-access "access" "libc" :int (path :string) (mode :int) :errno True :check zero :default None)
(defshared duplicate "strdup" "libc" (:string :free "free") (text :string))
(defshared c-duplicate "strdup" "libc" (:pointer :char) (text :string) :free "free")
(defshared patient-read "read" "libc" :ssize (fd :int) (buffer (:buffer :writable)) (count :size) :retry "EINTR")

(defn test-error-is-a-c-function []
  (with [caught (pytest.raises ForeignOSError :match "close\\(fd=-1\\) gave -1: Bad file descriptor")]
    (c-close -1))
  (assert (= caught.value.code errno.EBADF)))

(defn test-error-is-a-mapping []
  (with [_ (pytest.raises FileNotFoundError)]
    (c-open "/no/such/file" 0)))

(defn test-default []
  (assert (is (c-access "/no/such/file" 0) None))
  (assert (= (c-access "/" 0) 0)))

(defn test-free []
  (assert (= (duplicate "text") "text"))
  (with [text (c-duplicate "text")]
    (assert (= (cut text 0 4) (list b"text")))))

(defn test-retry []
  (setv [reader writer] (os.pipe)  buffer (bytearray 8))
  (os.write writer b"abc")
  (assert (= (patient-read reader buffer 8) 3))
  (assert (= buffer b"abc\0\0\0\0\0"))
  (os.close reader)
  (os.close writer))

(defn test-a-block-takes-them []
  (declare-c "int close(int fd);" :library "libc" :as c :errno True :check nonnegative :default "closed before")
  (assert (= (c.close -1) "closed before")))

(defn test-an-unknown-convention-is-a-mistake-of-the-form []
  (with [_ (pytest.raises SyntaxError :match "unknown calling convention")]
    (hy.eval '(defshared f "abs" "libc" :int (n :int) :abi :pascal))))

"libcurl by its header alone: a local server is asked, and what it answers comes to a callback in Lisp.

Run it with ``hy examples/header_curl.hy``. It needs libcurl with its header (``libcurl4-openssl-dev`` on Debian) and a C compiler, the
first time. ``curl_easy_setopt`` is variadic, and its constants are an enum's; both come from the header as they are."

(import epsilon [CompilerError ForeignError HeaderError LibraryLoadError foreign-string object-handle]
        http.server [BaseHTTPRequestHandler HTTPServer]
        sys threading)
(require epsilon [defcallback import-header with-foreign-memory])

;; An example without its library is nothing to fail about: it says what is missing, and where to get it.
(try
  (import-header "curl/curl.h" :library "libcurl" :as curl :prefix ["curl_" "CURL_"])
  (except [[CompilerError HeaderError LibraryLoadError]]
    (print "skipped: this example needs a C compiler and libcurl with its header (Debian: gcc libcurl4-openssl-dev)")
    (sys.exit 0)))

;;; The server

(defclass Handler [BaseHTTPRequestHandler]
  (defn do-GET [self]
    (setv found (= self.path "/poem")
          body (.encode (if found "Über allen Gipfeln\nist Ruh\n" "nothing here\n")))
    (.send-response self (if found 200 404))
    (.send-header self "Content-Length" (str (len body)))
    (.send-header self "X-Agent" (get self.headers "User-Agent"))
    (.end-headers self)
    (.write self.wfile body))
  (defn log-message [self #* arguments]))

;;; The client

;; One callback for bodies and headers. libcurl hands on the pointer that it was given for each, which is the handle
;; of a Lisp object: `:object` gives the object itself.
(defcallback receive :size ((data :pointer) (size :size) (count :size) (into :object))
  (setv length (* size count))
  (.append into (foreign-string data :length length))
  length)

(defn succeed [code]
  (when (!= code curl.CURLE-OK)
    (raise (ForeignError (curl.easy-strerror code) :code code))))

(defn fetch [url]
  "The status, the headers and the body of what is at a URL."
  ;; libcurl keeps the pointers for longer than the call that sets them, so the handles are made here, to live as long.
  (setv headers []  body []
        keeps-headers (object-handle headers)
        keeps-body (object-handle body)
        handle (curl.easy-init))
  (try
    ;; What follows the option is an argument of C's varargs: a pair says the type, anything else goes as C would have it.
    (succeed (curl.easy-setopt handle curl.CURLOPT-URL url))
    (succeed (curl.easy-setopt handle curl.CURLOPT-USERAGENT "Epsilon"))
    (succeed (curl.easy-setopt handle curl.CURLOPT-TIMEOUT [:long 10]))
    (succeed (curl.easy-setopt handle curl.CURLOPT-NOPROXY "*"))
    (succeed (curl.easy-setopt handle curl.CURLOPT-WRITEFUNCTION receive))
    (succeed (curl.easy-setopt handle curl.CURLOPT-WRITEDATA keeps-body))
    (succeed (curl.easy-setopt handle curl.CURLOPT-HEADERFUNCTION receive))
    (succeed (curl.easy-setopt handle curl.CURLOPT-HEADERDATA keeps-headers))
    (succeed (curl.easy-perform handle))
    (with-foreign-memory ((status :long :count 1))
      (succeed (curl.easy-getinfo handle curl.CURLINFO-RESPONSE-CODE status))
      #((get status 0) (.join "" headers) (.join "" body)))
    (finally
      (curl.easy-cleanup handle))))

;;; The program

(when (= __name__ "__main__")
  (print (get (.split (foreign-string (curl.version))) 0) "of header" curl.LIBCURL-VERSION)
  (setv server (HTTPServer #("127.0.0.1" 0) Handler)
        [host port] server.server-address)
  (.start (threading.Thread :target server.serve-forever :daemon True))
  (try
    (setv [status headers body] (fetch f"http://{host}:{port}/poem"))
    (print status (get (.splitlines body) 0))
    (print "the server was asked by" (get (.split (get (.split headers "X-Agent: ") 1)) 0))
    (setv [status _ body] (fetch f"http://{host}:{port}/prose"))
    (print status (.strip body))
    (finally
      (.shutdown server)
      (.server-close server)))
  (try
    (fetch f"http://{host}:{port}/poem")
    (except [error ForeignError]
      (print "refused:" error))))

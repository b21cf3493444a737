"SQLite from Lisp: a database is made, filled and queried, and its rows come to a callback written in Hy.

Run it with ``hy examples/sqlite.hy``. It needs SQLite's library (``libsqlite3-0`` on Debian), and no header or compiler.
The C declarations in the comments are those of https://sqlite.org/c3ref/funclist.html."

(import epsilon [ForeignError]
        os tempfile)
(require epsilon [define-c-enum define-c-type define-library defcallback defshared])

(define-library sqlite
  (:linux "libsqlite3")
  (:darwin "libsqlite3")
  (:windows "sqlite3" "winsqlite3"))

;;; The types that we need
;; Two opaque structs: a pointer to the one does not pass for a pointer to the other.
(define-c-type sqlite3)
(define-c-type sqlite3-stmt)

;; What sqlite3_step answers. C gives the number, Lisp gets the name; a number without a name stays one.
(define-c-enum step-result (:row 100) (:done 101))

;;; The functions that we need
;; `(:out T)` is not passed by us. Epsilon gives C a place to put a T, and what C put there follows the result.
;; `:free` says who frees what C hands out: a pointer at the end of `with`, or when Lisp forgets it; a text at once.
;; `:check zero` says what success looks like, and `:error` who knows what went wrong: sqlite3_errmsg is given the argument,
;; or the output, that is a database.

;;   const char *sqlite3_errmsg(sqlite3 *);
(defshared sqlite3-errmsg "sqlite3_errmsg" "sqlite" :string (database (:pointer sqlite3)))

;;   int sqlite3_open(const char *filename, sqlite3 **ppDb);
(defshared sqlite3-open "sqlite3_open" "sqlite" :int
  (filename :string) (database (:out (:pointer sqlite3 :free "sqlite3_close")))
  :check zero :error sqlite3-errmsg)

;;   int sqlite3_exec(sqlite3 *, const char *sql, int (*callback)(void *, int, char **, char **), void *, char **errmsg);
;; The callback gets, as `data`, the very object that we pass there; `:object` is any of Lisp's.
(defshared sqlite3-exec "sqlite3_exec" "sqlite" :int
  (database (:pointer sqlite3)) (sql :string) (row :pointer) (data :object)
  (message (:out (:string :free "sqlite3_free")))
  :check zero :error sqlite3-errmsg)

;;   const char *sqlite3_libversion(void);
(defshared sqlite3-libversion "sqlite3_libversion" "sqlite" :string)

;; A prepared statement: compiled once, run many times with other values.
(defshared sqlite3-prepare "sqlite3_prepare_v2" "sqlite" :int
  (database (:pointer sqlite3)) (sql :string) (bytes :int)
  (statement (:out (:pointer sqlite3-stmt :free "sqlite3_finalize"))) (rest :pointer)
  :check zero :error sqlite3-errmsg)
(defshared sqlite3-step "sqlite3_step" "sqlite" (:enum step-result) (statement (:pointer sqlite3-stmt)))
(defshared sqlite3-reset "sqlite3_reset" "sqlite" :int (statement (:pointer sqlite3-stmt)) :check zero)
(defshared sqlite3-bind-double "sqlite3_bind_double" "sqlite" :int
  (statement (:pointer sqlite3-stmt)) (position :int) (number :double)
  :check zero)
;; The last parameter is a destructor, or the constant SQLITE_TRANSIENT, which is -1: SQLite is to copy the text. An
;; integer is no pointer, so the parameter is declared as the integer that it is here.
(defshared sqlite3-bind-text "sqlite3_bind_text" "sqlite" :int
  (statement (:pointer sqlite3-stmt)) (position :int) (text :string) (bytes :int) (destructor :intptr)
  :check zero)
(defshared sqlite3-column-text "sqlite3_column_text" "sqlite" :string
  (statement (:pointer sqlite3-stmt)) (column :int))
(defshared sqlite3-column-double "sqlite3_column_double" "sqlite" :double
  (statement (:pointer sqlite3-stmt)) (column :int))

(setv TRANSIENT -1)

;;; The callback: SQLite calls it once for each row
;; C passes a count and two arrays of strings, `int, char **, char **`: here two sequences of that length. They are C's
;; memory, and end when the callback returns; the texts are ours.

(defcallback collect-row :int ((rows :object) (count :int)
                               (values (:array :string :length count)) (names (:array :string :length count)))
  "Add a row to `rows`; 0 asks SQLite to go on."
  (.append rows (dict (zip names values)))
  0)

;;; The program

(defn fill [database]
  (sqlite3-exec database "CREATE TABLE peak (name TEXT PRIMARY KEY, metres REAL)" None None)
  (setv [_ made] (sqlite3-prepare database "INSERT INTO peak VALUES (?, ?)" -1 None))
  (with [statement made]
    (for [[name metres] [["Galdhøpiggen" 2469.0] ["Kebnekaise" 2096.8] ["Møllehøj" 170.9]]]
      (sqlite3-bind-text statement 1 name -1 TRANSIENT)
      (sqlite3-bind-double statement 2 metres)
      (assert (= (sqlite3-step statement) "done"))
      (sqlite3-reset statement))))

(defn query-by-callback [database]
  (setv rows [])
  (sqlite3-exec database "SELECT name, metres FROM peak ORDER BY metres DESC" collect-row rows)
  (for [row rows]
    (print f"  {(get row "name") :12}  {(get row "metres") :>7} m"))
  (assert (= (lfor row rows (get row "name")) ["Galdhøpiggen" "Kebnekaise" "Møllehøj"])))

(defn query-by-steps [database]
  (setv [_ made] (sqlite3-prepare database "SELECT name, metres FROM peak WHERE metres > 2000" -1 None)
        found {})
  (with [statement made]
    (while (= (sqlite3-step statement) "row")
      (setv (get found (sqlite3-column-text statement 0)) (sqlite3-column-double statement 1))))
  (print "  above 2000 m:" found)
  (assert (= found {"Galdhøpiggen" 2469.0  "Kebnekaise" 2096.8})))

(defn fail-politely [database]
  (try
    (sqlite3-exec database "SELECT height FROM peak" collect-row [])
    (except [error ForeignError]
      (print "  refused:" error)
      (assert (= error.code 1)))
    (else (raise (AssertionError "SQLite took a wrong query")))))

(when (= __name__ "__main__")
  (print "SQLite" (sqlite3-libversion))
  (with [folder (tempfile.TemporaryDirectory)]
    (setv [_ opened] (sqlite3-open (os.path.join folder "peaks.db")))
    (with [database opened]
      (fill database)
      (query-by-callback database)
      (query-by-steps database)
      (fail-politely database))))

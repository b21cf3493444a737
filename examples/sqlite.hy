"SQLite from Lisp: a database is made, filled and queried, and its rows come to a callback written in Hy.

Run it with ``hy examples/sqlite.hy``. It needs SQLite's library (``libsqlite3-0`` on Debian), and no header or compiler.
The C declarations in the comments are those of https://sqlite.org/c3ref/funclist.html."

(import epsilon [ForeignError foreign-string null-pointer?]
        os tempfile)
(require epsilon [defcallback define-library defshared deref])

(define-library sqlite
  (:linux "libsqlite3")
  (:darwin "libsqlite3")
  (:windows "sqlite3" "winsqlite3"))

;;; The functions that we need
;; `(:struct sqlite3)` is never defined: a pointer to it is a pointer of its own kind, which no other passes for.
;; `(:out T)` is not passed by us. Epsilon gives C a place to put a T, and what C put there follows the result.
;; `:check zero` says what success looks like: anything but SQLITE_OK raises ForeignError.

;;   int sqlite3_open(const char *filename, sqlite3 **ppDb);
(defshared sqlite3-open "sqlite3_open" "sqlite" :int
  (filename :string) (database (:out (:pointer (:struct sqlite3)))))

;;   int sqlite3_close(sqlite3 *);
(defshared sqlite3-close "sqlite3_close" "sqlite" :int
  (database (:pointer (:struct sqlite3)))
  :check zero)

;;   int sqlite3_exec(sqlite3 *, const char *sql, int (*callback)(void *, int, char **, char **), void *, char **errmsg);
;; The error message is memory of SQLite's that we must free. So it comes as a bare pointer: a `:string` would be copied,
;; and the pointer lost.
(defshared sqlite3-exec "sqlite3_exec" "sqlite" :int
  (database (:pointer (:struct sqlite3))) (sql :string) (row :pointer) (data :pointer) (message (:out :pointer)))

;;   void sqlite3_free(void *);
(defshared sqlite3-free "sqlite3_free" "sqlite" :void (memory :pointer))

;;   const char *sqlite3_errmsg(sqlite3 *);    This text stays SQLite's own: `:string` is right.
(defshared sqlite3-errmsg "sqlite3_errmsg" "sqlite" :string (database (:pointer (:struct sqlite3))))

;;   const char *sqlite3_libversion(void);
(defshared sqlite3-libversion "sqlite3_libversion" "sqlite" :string)

;; A prepared statement: compiled once, run many times with other values.
(defshared sqlite3-prepare "sqlite3_prepare_v2" "sqlite" :int
  (database (:pointer (:struct sqlite3))) (sql :string) (bytes :int)
  (statement (:out (:pointer (:struct sqlite3_stmt)))) (rest :pointer)
  :check zero)
(defshared sqlite3-step "sqlite3_step" "sqlite" :int (statement (:pointer (:struct sqlite3_stmt))))
(defshared sqlite3-reset "sqlite3_reset" "sqlite" :int (statement (:pointer (:struct sqlite3_stmt))) :check zero)
(defshared sqlite3-finalize "sqlite3_finalize" "sqlite" :int (statement (:pointer (:struct sqlite3_stmt))) :check zero)
(defshared sqlite3-bind-double "sqlite3_bind_double" "sqlite" :int
  (statement (:pointer (:struct sqlite3_stmt))) (position :int) (number :double)
  :check zero)
;; The last parameter is a destructor, or the constant SQLITE_TRANSIENT, which is -1: SQLite is to copy the text. An
;; integer is no pointer, so the parameter is declared as the integer that it is here.
(defshared sqlite3-bind-text "sqlite3_bind_text" "sqlite" :int
  (statement (:pointer (:struct sqlite3_stmt))) (position :int) (text :string) (bytes :int) (destructor :intptr)
  :check zero)
(defshared sqlite3-column-text "sqlite3_column_text" "sqlite" :string
  (statement (:pointer (:struct sqlite3_stmt))) (column :int))
(defshared sqlite3-column-double "sqlite3_column_double" "sqlite" :double
  (statement (:pointer (:struct sqlite3_stmt))) (column :int))

(setv OK 0  ROW 100  DONE 101  TRANSIENT -1)

;;; The callback: SQLite calls it once for each row

(setv rows [])

;; C passes two arrays of strings, the values and the column names, as `char **`. `deref` reads an element as the type
;; that we name; a NULL value is None.
(defcallback collect-row :int ((data :pointer) (count :int) (values :pointer) (names :pointer))
  "Add a row to `rows`; 0 asks SQLite to go on."
  (.append rows (dfor i (range count)
                  (deref names i :string) (deref values i :string)))
  0)

(defn execute [database sql [on-row None]]
  "Run SQL and give each row to the callback `on-row`; a failure raises, with SQLite's own message."
  (setv [code message] (sqlite3-exec database sql on-row None))
  (when (!= code OK)
    (setv text (if (null-pointer? message) "unknown error" (foreign-string message)))
    (sqlite3-free message)    ; a copy is ours now, the original was SQLite's loan
    (raise (ForeignError text :code code :function "sqlite3_exec"))))

(defn open-database [path]
  (setv [code database] (sqlite3-open path))
  (when (!= code OK)    ; even then there is a handle, which holds the message and must be closed
    (setv text (sqlite3-errmsg database))
    (sqlite3-close database)
    (raise (ForeignError text :code code :function "sqlite3_open")))
  database)

;;; The program

(defn fill [database]
  (execute database "CREATE TABLE peak (name TEXT PRIMARY KEY, metres REAL)")
  (setv [_ statement] (sqlite3-prepare database "INSERT INTO peak VALUES (?, ?)" -1 None))
  (try
    (for [[name metres] [["Galdhøpiggen" 2469.0] ["Kebnekaise" 2096.8] ["Møllehøj" 170.9]]]
      (sqlite3-bind-text statement 1 name -1 TRANSIENT)
      (sqlite3-bind-double statement 2 metres)
      (assert (= (sqlite3-step statement) DONE))
      (sqlite3-reset statement))
    (finally (sqlite3-finalize statement))))

(defn query-by-callback [database]
  (.clear rows)
  (execute database "SELECT name, metres FROM peak ORDER BY metres DESC" collect-row)
  (for [row rows]
    (print f"  {(get row "name") :12}  {(get row "metres") :>7} m"))
  (assert (= (lfor row rows (get row "name")) ["Galdhøpiggen" "Kebnekaise" "Møllehøj"])))

(defn query-by-steps [database]
  (setv [_ statement] (sqlite3-prepare database "SELECT name, metres FROM peak WHERE metres > 2000" -1 None)
        found {})
  (try
    (while (= (sqlite3-step statement) ROW)
      (setv (get found (sqlite3-column-text statement 0)) (sqlite3-column-double statement 1)))
    (finally (sqlite3-finalize statement)))
  (print "  above 2000 m:" found)
  (assert (= found {"Galdhøpiggen" 2469.0  "Kebnekaise" 2096.8})))

(defn fail-politely [database]
  (try
    (execute database "SELECT height FROM peak" collect-row)
    (except [error ForeignError]
      (print "  refused:" error)
      (assert (= error.code 1)))
    (else (raise (AssertionError "SQLite took a wrong query")))))

(when (= __name__ "__main__")
  (print "SQLite" (sqlite3-libversion))
  (with [folder (tempfile.TemporaryDirectory)]
    (setv database (open-database (os.path.join folder "peaks.db")))
    (try
      (fill database)
      (query-by-callback database)
      (query-by-steps database)
      (fail-politely database)
      (finally (sqlite3-close database)))))

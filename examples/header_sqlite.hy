"SQLite by its header alone: `sqlite3.h` is imported, and a database gets a function and a collation written in Lisp.

Run it with ``hy examples/header_sqlite.hy``. It needs SQLite's header and library (``libsqlite3-dev`` on Debian) and a C compiler, the
first time; from then on what the header says is in the cache. No declaration is written by hand."

(import epsilon [CompilerError ForeignError HeaderError LibraryLoadError foreign-string]
        sys)
(require epsilon [defcallback foreign-alloc import-header])

;; An example without its library is nothing to fail about: it says what is missing, and where to get it.
(try
  ;; `sqlite3_open` is `sqlite.open`, `SQLITE_OK` is `sqlite.OK`. The C names stay, too.
  (import-header "sqlite3.h" :library "sqlite3" :as sqlite :prefix ["sqlite3_" "SQLITE_"])
  (except [[CompilerError HeaderError LibraryLoadError]]
    (print "skipped: this example needs a C compiler and SQLite's header and library (Debian: gcc libsqlite3-dev)")
    (sys.exit 0)))

(defn succeed [database code]
  (when (!= code sqlite.OK)
    (raise (ForeignError (sqlite.errmsg database) :code code))))

;;; A function of SQL, in Lisp
;; The types of the header are types of ours: a struct by its name, a pointer to it, a pointer to that.
(defcallback initials :void ((context (:pointer sqlite.context)) (count :int) (arguments (:pointer (:pointer sqlite.value))))
  (setv text (foreign-string (sqlite.value-text (get arguments 0))))
  ;; SQLITE_TRANSIENT is a macro for a pointer, and says: copy the text.
  (sqlite.result-text context (.join "" (gfor word (.split text)  (get word 0))) -1 sqlite.TRANSIENT))

;;; A collation, in Lisp
;; Texts that end with numbers are ordered by the numbers. SQLite gives pointers and lengths.
(defn number-in [text]
  (int (get (.split text) -1)))

(defcallback by-number :int ((data :pointer) (n :int) (a :pointer) (m :int) (b :pointer))
  (- (number-in (foreign-string a :length n)) (number-in (foreign-string b :length m))))

;;; Rows, by prepared statements

(defn rows [database sql #* parameters]
  "The rows of a query, as lists of what SQLite has in each column."
  (setv place (foreign-alloc (:pointer sqlite.stmt) :count 1))
  (succeed database (sqlite.prepare-v2 database sql -1 place None))
  (setv statement (get place 0))
  (for [[index value] (enumerate parameters 1)]
    (succeed database
      (if (isinstance value str)
          (sqlite.bind-text statement index value -1 sqlite.TRANSIENT)
          (sqlite.bind-double statement index value))))
  (try
    (while (= (sqlite.step statement) sqlite.ROW)
      (yield (lfor index (range (sqlite.column-count statement))
               (cond
                 (= (sqlite.column-type statement index) sqlite.TEXT)  (foreign-string (sqlite.column-text statement index))
                 (= (sqlite.column-type statement index) sqlite.INTEGER)  (sqlite.column-int64 statement index)
                 True  (sqlite.column-double statement index)))))
    (finally
      (sqlite.finalize statement))))

;;; The program

(when (= __name__ "__main__")
  (print "SQLite" (sqlite.libversion) "of version" sqlite.VERSION "in the header")
  (print (get (.split sqlite.open.__doc__ "\n") 0))
  (setv place (foreign-alloc (:pointer sqlite.sqlite3) :count 1))
  (succeed None (sqlite.open ":memory:" place))
  (setv database (get place 0))

  (succeed database (sqlite.create-function-v2 database "initials" 1 (| sqlite.UTF8 sqlite.DETERMINISTIC) None initials None None None))
  (succeed database (sqlite.create-collation database "by_number" sqlite.UTF8 None by-number))
  (succeed database (sqlite.exec database "CREATE TABLE works (composer TEXT, title TEXT, minutes REAL)" None None None))
  (for [[composer title minutes] [["Johann Sebastian Bach" "Suite 10" 20.5]
                                  ["Clara Schumann" "Trio 9" 28.0]
                                  ["Gustav Mahler" "Symphony 2" 80.25]]]
    (list (rows database "INSERT INTO works VALUES (?, ?, ?)" composer title minutes)))

  (for [[who title minutes] (rows database "SELECT initials(composer), title, minutes FROM works ORDER BY title COLLATE by_number")]
    (print f"  {who :<4}{title :<12}{minutes :>6.2f} minutes"))

  ;; A callback for the length of a call is any callable.
  (setv names [])
  (succeed database
    (sqlite.exec database "SELECT composer FROM works WHERE minutes < 30"
      (fn [data count values columns] (.append names (foreign-string (get values 0))) 0)
      None None))
  (print "  under half an hour:" (.join ", " names))

  (try
    (list (rows database "SELECT conductor FROM works"))
    (except [error ForeignError]
      (print "  refused:" error)))
  (succeed None (sqlite.close database)))

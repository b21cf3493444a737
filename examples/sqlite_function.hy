"SQL that calls machine code: a native scalar function and a native collation in a real SQLite database, timed against
the same in Python's sqlite3.

Run it with ``hy examples/sqlite_function.hy``. It needs SQLite's library (``libsqlite3-0`` on Debian).
The C declarations in the comments are those of https://sqlite.org/c3ref/funclist.html."

(import itertools random time
  sqlite3 :as python-sqlite
  epsilon.libc [strlen])
(require epsilon [define-c-type defnative defshared])

(define-c-type sqlite3)
(define-c-type sqlite3-context)
(define-c-type sqlite3-value)

(defshared sqlite3-open "sqlite3_open" "libsqlite3" :int
  (filename :string) (database (:out (:pointer sqlite3 :free "sqlite3_close"))) :check zero)
(defshared sqlite3-errmsg "sqlite3_errmsg" "libsqlite3" :string (database (:pointer sqlite3)))
;; Each row of the answer comes to `row`, which may be a native too.
(defshared sqlite3-exec "sqlite3_exec" "libsqlite3" :int
  (database (:pointer sqlite3)) (sql :string) (row :pointer) (data :pointer) (message :pointer)
  :check zero :error sqlite3-errmsg)

;;; 1. What natives call: the values of SQL, straight from C
;;   const unsigned char *sqlite3_value_text(sqlite3_value *);
;;   void sqlite3_result_int(sqlite3_context *, int);
(defshared value-text "sqlite3_value_text" "libsqlite3" (:pointer :char) (value (:pointer sqlite3-value)))
(defshared result-int "sqlite3_result_int" "libsqlite3" :void (context (:pointer sqlite3-context)) (number :int))
(defshared result-null "sqlite3_result_null" "libsqlite3" :void (context (:pointer sqlite3-context)))

;;; 2. A scalar function: how many edits lead from one word to another (Levenshtein)
(setv LONGEST 63)

(defnative edits :int ((a (:pointer :char)) (b (:pointer :char)))
  (setv n (the :int (strlen a))
        m (the :int (strlen b)))
  (when (or (> n LONGEST) (> m LONGEST))
    (return -1))
  (setv row (the (:array :int 64)))
  (for [j (range (+ m 1))]
    (setv (get row j) j))
  (for [i (range n)]
    (setv corner (get row 0)
          (get row 0) (+ i 1))
    (for [j (range m)]
      (let [above (get row (+ j 1))
            changed (+ corner (!= (get a i) (get b j)))
            added (+ 1 (if (< above (get row j)) above (get row j)))]
        (setv corner above
              (get row (+ j 1)) (if (< changed added) changed added)))))
  (get row m))

;;   void (*xFunc)(sqlite3_context *, int, sqlite3_value **)
(defnative edits-in-sql :void ((context (:pointer sqlite3-context)) (count :int)
                               (values (:pointer (:pointer sqlite3-value))))
  (let [a (value-text (get values 0))
        b (value-text (get values 1))]
    (if (and a b)
        (result-int context (edits a b))
        (result-null context))))

;;; 3. A collation: numbers within texts compare as numbers, so that "file9" comes before "file10"
(defnative is-digit :bool ((c :char))
  (<= (ord "0") c (ord "9")))

;;   int (*xCompare)(void *, int, const void *, int, const void *): the texts do not end with a NUL
(defnative by-number :int ((data :pointer) (n :int) (x :pointer) (m :int) (y :pointer))
  (setv a (cast x (:pointer :char))
        b (cast y (:pointer :char))
        i (the :int 0)
        j (the :int 0))
  (while (and (< i n) (< j m))
    (if (and (is-digit (get a i)) (is-digit (get b j)))
        (let [one (the :long 0)  other (the :long 0)]
          (while (and (< i n) (is-digit (get a i)))
            (setv one (+ (* 10 one) (- (get a i) (ord "0"))))
            (+= i 1))
          (while (and (< j m) (is-digit (get b j)))
            (setv other (+ (* 10 other) (- (get b j) (ord "0"))))
            (+= j 1))
          (when (!= one other)
            (return (if (< one other) -1 1))))
        (do
          (when (!= (get a i) (get b j))
            (return (- (get a i) (get b j))))
          (+= i 1)
          (+= j 1))))
  (- (- n i) (- m j)))

;;   int sqlite3_create_function(sqlite3 *, const char *name, int count, int encoding, void *data, xFunc, xStep, xFinal);
(defshared create-function "sqlite3_create_function" "libsqlite3" :int
  (database (:pointer sqlite3)) (name :string) (count :int) (encoding :int) (data :pointer)
  (function :pointer) (step :pointer) (final :pointer) :check zero :error sqlite3-errmsg)
;;   int sqlite3_create_collation(sqlite3 *, const char *name, int encoding, void *data, xCompare);
(defshared create-collation "sqlite3_create_collation" "libsqlite3" :int
  (database (:pointer sqlite3)) (name :string) (encoding :int) (data :pointer) (compare :pointer)
  :check zero :error sqlite3-errmsg)
(setv UTF8 1)

;;; 4. The same in Python, for its sqlite3
(defn python-edits [a b]
  (setv row (list (range (+ (len b) 1))))
  (for [[i x] (enumerate a)]
    (setv corner (get row 0)
          (get row 0) (+ i 1))
    (for [[j y] (enumerate b)]
      (setv above (get row (+ j 1))
            (get row (+ j 1)) (min (+ corner (!= x y)) (+ 1 (min above (get row j))))
            corner above)))
  (get row -1))

(defn parts [text]
  (lfor [digits run] (itertools.groupby text str.isdigit)  (if digits #(0 (int (.join "" run))) #(1 (.join "" run)))))

(defn python-by-number [a b]
  (setv one (parts a)  other (parts b))
  (- (> one other) (< one other)))

;;; 5. Both at work
(setv random-words (random.Random 7)
      words (lfor n (range 3000) (+ (.join "" (random-words.choices "abcdefgh" :k 9)) (str (% (* n 7919) 3000))))
      FILL (+ "create table words (word text); insert into words values "
              (.join ", " (gfor word words f"('{word}')")) ";")
      CLOSEST "select min(edits(word, 'abcdefgh42')) from words"
      SORTED "select word from words order by substr(word, 8) collate numbers limit 1 offset 1500")

(defnative take-text :int ((target (:pointer :char)) (count :int) (texts (:pointer (:pointer :char)))
                           (names (:pointer (:pointer :char))))
  "Copy the first column, for the text is SQLite's."
  (let [source (get texts 0)  i 0]
    (while (get source i)
      (setv (get target i) (get source i))
      (+= i 1))
    (setv (get target i) 0))
  0)

(defn asked [work]
  "What the work gives, and its milliseconds."
  (setv start (time.perf-counter)
        found (work))
  [found (* 1000 (- (time.perf-counter) start))])

(defn main []
  (import epsilon [foreign-alloc foreign-string])
  (setv text (foreign-alloc "char" :count 100))
  (setv [_ opened] (sqlite3-open ":memory:"))
  (with [database opened]
    (sqlite3-exec database FILL None None None)
    (create-function database "edits" 2 UTF8 None edits-in-sql None None)
    (create-collation database "numbers" UTF8 None by-number)
    (defn ask [sql]
      (sqlite3-exec database sql take-text text None)
      (foreign-string text))
    (setv native (lfor sql [CLOSEST SORTED] (asked (fn [] (ask sql))))))

  (setv connection (python-sqlite.connect ":memory:"))
  (.executescript connection FILL)
  (.create-function connection "edits" 2 python-edits)
  (.create-collation connection "numbers" python-by-number)
  (setv python (lfor sql [CLOSEST SORTED] (asked (fn [] (str (get (.fetchone (.execute connection sql)) 0))))))
  (.close connection)

  (for [[what [found spent] [wanted slow]] (zip ["function" "collation"] native python)]
    (print f"{what :9}  {found :>14}  native {spent :7.1f} ms, Python {slow :7.1f} ms")
    (assert (= found wanted))))

(when (= __name__ "__main__")
  (main))

"API §7 in Hy: unions, the options of members and structs, headers."

(require epsilon [define-c-struct define-c-union define-c-struct-auto sizeof])
(import epsilon hy pytest types)

(defn refused [text]
  "What is said of a form that is wrong."
  (with [caught (pytest.raises hy.errors.HySyntaxError)]
    (hy.eval (hy.read-many (+ "(require epsilon [define-c-struct define-c-union define-c-struct-auto]) " text))
             :module (types.ModuleType "refused")))
  (str caught.value.msg))

(define-c-union value (i :int64) (d :double) (p :pointer))

(defn test-a-union []
  (assert (= value.size (sizeof value) 8))
  (assert (= (. (value :d 1.0) i) 0x3ff0000000000000)))

(defn test-options-of-members-and-structs []
  (setv width 2)
  (define-c-struct record
    (kind :uint8 :bits 3) (None :uint8 :bits width) (flag :uint8 :bits 3) (None value) (data (:array :char))
    :packed True :align 4)
  (assert (= [record.size record.alignment (.offset record 'i)] [12 4 1]))
  (setv one (.with-count record 4 :kind 5 :flag 7 :d 1.0 :data b"abcd"))
  (assert (= [one.kind one.flag one.d (bytes one.data)] [5 7 1.0 b"abcd"]))
  (define-c-struct placed (a :int) (b :int :offset 16) (c :char :align 8))
  (assert (= [(.offset placed 'b) (.offset placed 'c) placed.size] [16 24 32]))
  (define-c-union wide (a :char) :align 16)
  (assert (= wide.size 16))
  (define-c-struct two (a :char) (b :double) :packed 2)
  (assert (= (.offset two 'b) 2)))

(defn test-pointers-to-itself-in-a-union []
  (define-c-union link (next (:pointer link)) (number :long))
  (setv a (link :number 5)  b (link :next a))
  (assert (= (. (epsilon.deref b.next) number) 5)))

(defn test-c-text []
  (define-c-struct-auto packed "struct packed { char c; double d; } __attribute__((packed));")
  (assert (= packed.size 9))
  (define-c-struct-auto packed "struct packed { char c; double d; };" :packed 4)
  (assert (= packed.size 12)))

(defn test-a-struct-from-a-header []
  (define-c-struct-auto stat-struct "struct stat" :header "sys/stat.h")
  (assert (and stat-struct.proved (in "st_mode" stat-struct.__match_args__)))
  (define-c-struct timespec (tv-sec :long) (tv-nsec :long) :header "time.h")
  (assert timespec.proved)
  (with [(pytest.raises epsilon.HeaderError :match "another layout")]
    (define-c-struct timespec (tv-sec :int) (tv-nsec :int) :header "time.h")))

(defn test-a-layout []
  (assert (in "i" (lfor row (.layout value) row.name))))

(defn test-mistakes-are-told-where-they-are-written []
  (assert (in "unknown option :bit" (refused "(define-c-struct s (a :int :bit 3))")))
  (assert (in "needs a value" (refused "(define-c-struct s (a :int :bits))")))
  (assert (in "unknown option :pack" (refused "(define-c-union s (a :int) :pack True)")))
  (assert (in "a is there twice" (refused "(define-c-union s (a :int) (a :int))")))
  (assert (in ":header names the header" (refused "(define-c-struct-auto s \"struct stat\")"))))

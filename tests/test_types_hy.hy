"Objects, enums, flags and the user's own types from Hy; the Python tests of each have the details."

(import datetime [date])
(import types)
(import hy)
(import pytest)
(import clib [load-c])
(import epsilon)
(import epsilon [ctype object-handle])
(require epsilon [alignof declare-c define-c-enum define-c-flags define-c-struct define-c-struct-auto
                  define-c-type define-foreign-type defcallback defcvar defshared deref foreign-alloc make-callback
                  shared-call sizeof with-callback])

(setv C (load-c "
#include <stdint.h>
#include <stddef.h>
void *identity(void *p) { return p; }
int each(int n, int (*f)(int, void *), void *user) { int sum = 0; for (int i = 0; i < n; i++) sum += f(i, user); return sum; }
enum color { red, green, blue = 7, dark_red };
enum color next_color(enum color c) { return c == red ? green : c == green ? blue : dark_red; }
enum color ask(enum color (*f)(enum color), enum color c) { return f(c); }
void get_color(enum color *c) { *c = blue; }
uint8_t small(uint8_t c) { return c; }
unsigned add_flags(unsigned f, unsigned g) { return f | g; }
enum color the_color = green;
static int file, other;
void *sf_open(void) { return &file; }
void *other_open(void) { return &other; }
int sf_close(void *f) { return f == &file; }
int next(int fd) { return fd + 1; }
int next_behind(const int *fd) { return *fd + 1; }
int apply(int (*f)(int), int x) { return f(x); }
struct operation { int (*f)(int); };
int run(const struct operation *o, int x) { return o->f ? o->f(x) : -1; }
"))

;;; :object

(defshared identity "identity" C :object (value :object))
(defshared each "each" C :int (n :int) (f (:function :int (:int :object))) (user :object))

(defn test-any-object-comes-back []
  (setv value {"any" "object"})
  (assert (is (identity value) value))
  (assert (is (identity None) None))
  (with [handle (object-handle value)]
    (assert (is (identity handle) value))))

(defcallback collect :int ((i :int) (seen :object))
  (.append seen i)
  i)

(defn test-user-data-of-a-callback []
  (setv seen [])
  (assert (= (each 3 collect seen) 3))
  (assert (= (each 2 (fn [i user] (.append user i) 0) seen) 0))
  (assert (= seen [0 1 2 0 1])))

;;; enums and flags

(define-c-enum color :red :green (:blue 7) dark-red)
(define-c-enum small [:none 0] [:all 255] :type :uint8)
(define-c-flags open-flags (:create 64) (:truncate 512))

(defshared next-color "next_color" C color (c color))
(defshared ask "ask" C (:enum color) (f (:function (:enum color) ((:enum color)))) (c :color))
(defshared get-color "get_color" C :void (c (:out (:enum color))))
(defshared same-small "small" C (:enum small) (c :small))
(defshared add-flags "add_flags" C (:flags open-flags) (f (:flags open-flags)) (g open-flags))
(defcvar the-color "the_color" C color)
(define-c-struct pixel (color color) (all (:array (:enum color) 2)) (flags (:flags open-flags)))

(defn test-names-go-and-come []
  (for [same [:green "green" 1]]
    (assert (= (next-color ':red) same)))
  (assert (= (next-color "green") :blue))
  (for [same [:dark-red :dark_red "dark-red" 8]]
    (assert (= (next-color ':blue) same)))
  (assert (= (next-color 1) (next-color ':green) (get-color)))
  (assert (= color.dark-red 8 (get color :dark-red)))
  (assert (= (dict color) {"red" 0  "green" 1  "blue" 7  "dark-red" 8})))

(defn test-an-enum-in-callbacks-and-variables []
  (assert (= (ask (fn [c] (assert (= c :green)) :blue) ':green) :blue))
  (with-callback (f (fn [c] "dark-red") color '(color))
    (assert (= (ask f ':red) :dark-red)))
  (assert (= the-color.value :green)))

(defn test-an-enum-of-a-type []
  (assert (= small.size (sizeof small) (sizeof :small) 1))
  (assert (= (same-small ':all) :all))
  (with [_ (pytest.raises epsilon.ForeignRangeError)]
    (same-small 256)))

(defn test-flags []
  (for [same [#{"create" "truncate"} #{:create :truncate} 576]]
    (assert (= (add-flags ':create ["truncate"]) same)))
  (assert (in :create (add-flags ':create 0)))
  (assert (not (add-flags [] []))))

(defn test-an-enum-in-a-struct []
  (setv one (pixel :color :blue :all ["red" :dark-red] :flags #{:create}))
  (assert (= [one.color (list one.all) one.flags] ["blue" ["red" "dark-red"] #{"create"}]))
  (assert (= (list (foreign-alloc (:enum color) :count 2 :initial ':blue)) ["blue" "blue"]))
  (assert (= (deref one 0 :unsigned-int) 7)))

(defn test-an-enum-by-tag-where-no-variable-has-the-name []
  (setv module (types.ModuleType "elsewhere")
        module.C C
        form "(do (require epsilon [shared-call])
                  (shared-call (\"next_color\" C) (:enum color) '((:enum color)) \"red\"))")
  (assert (= (hy.eval (hy.read form) module.__dict__ :module module) :green)))

(setv shade color
      shapes (types.SimpleNamespace :color color))

(defn test-an-enum-by-a-variable-of-another-name []
  (assert (= (sizeof (:enum shade)) (sizeof (:enum shapes.color)) (sizeof shapes.color) 4))
  (assert (= (shared-call ("next_color" C) (:enum shade) ((:enum shade)) "red") :green)))

;;; define-c-type

(define-c-type SNDFILE)
(define-c-type other-file)
(define-c-type fd :int)
(define-c-type unary (:function :int (fd)))

(defshared sf-open "sf_open" C (:pointer SNDFILE))
(defshared other-open "other_open" C (:pointer :other-file))
(defshared sf-close "sf_close" C :int (file "SNDFILE *"))
(defshared next-fd "next" C fd (fd :fd))
(defshared next-behind "next_behind" C :int (fd (:in fd)))
(defshared next-from-text "next_behind" C :int (fd "const fd *"))
(defshared apply "apply" C :int (f :unary) (x :fd))
(declare-c "int next(fd number); int sf_close(SNDFILE *file);" :library C :as block)

(defn test-opaque-types []
  (assert (= (sf-close (sf-open)) (block.sf-close (sf-open)) 1))
  (with [caught (pytest.raises epsilon.ForeignTypeError)]
    (sf-close (other-open)))
  (assert (in "not a struct other_file *" (str caught.value))))

(defn test-aliases []
  (assert (is fd (ctype "fd") (ctype "int")))
  (assert (= (next-fd 3) (next-fd :fd 3) (next-behind 3) (block.next 3) 4))
  (assert (= (next-from-text (foreign-alloc :fd :initial [3])) 4))
  (assert (= (apply (fn [x] (* 2 x)) 21) 42))
  (assert (= (sizeof :fd) (alignof fd) 4)))

(define-c-struct-auto holder "struct holder { fd fd; SNDFILE *file; };")

(defn test-a-name-in-the-c-text-of-a-struct []
  (assert (= (. (holder :fd 3) fd) 3)))

;;; define-foreign-type

(define-foreign-type day :base :int :to-foreign date.toordinal :from-foreign date.fromordinal)
(define-foreign-type text-length :base fd :to-foreign len)

(defshared next-day "next" C day (d :day))
(defshared next-length "next" C :int (text text-length))
(define-c-struct event (when day) (days (:array day 2)))

(defn test-a-foreign-type []
  (assert (= (next-day (date 2000 2 28)) (date 2000 2 29)))
  (assert (= (next-length "four") 5))
  (setv one (event :when (date 2000 2 28)  :days [(date 1 1 1) (date 1 1 2)]))
  (assert (= one.when (date 2000 2 28)))
  (assert (= (list one.days) [(date 1 1 1) (date 1 1 2)]))
  (with-callback (f (fn [d] (date.fromordinal (* 2 (.toordinal d)))) day '(day))
    (assert (= (apply f 21) 42)))
  (assert (= ((make-callback (fn [x] x) :day '(:day)) 5) 5)))

;;; function pointers in structs

(define-c-struct operation (f (:function :int (:int))))
(defshared run "run" C :int (o (:pointer operation)) (x :int))

(defn test-a-function-pointer-in-a-struct []
  (setv one (operation))
  (assert (is one.f None))
  (setv one.f (fn [x] (* x x)))
  (assert (= (run one 7) (one.f 7) 49))
  (setv one.f None)
  (assert (= (run one 7) -1)))

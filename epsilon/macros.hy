"The Lisp face: each macro checks its form and expands to a call of ``epsilon._runtime``, which carries the C declaration.

What a form looks like is said here, in patterns; ``forms.py`` reads their fields and writes the C text. An expansion
reaches the run time by ``__import__``, as ``import`` itself does: the quickest way that leaves the user's names alone."

(import
  funcparserlib.parser [many maybe]
  hy.model-patterns [FORM]
  epsilon._macros [Later])

;; Imported by the first form that is expanded: a compiled module requires the macros, and has no form to expand.
(setv forms (Later "epsilon.forms"))

(defn runtime [compiler name]
  "A function of ``epsilon._runtime``, as a form that stands where the macro's name does: CPython says of a method call
  over several lines that it happened on the last of them."
  (setv function `(. (__import__ "epsilon._runtime") _runtime ~name)
        call (getattr compiler "this" None))
  (if call (.replace function (get call 0)) function))

(defn within [bindings body]
  "The ``with`` form of ``[name value]`` pairs."
  `(with [~@(sum bindings [])] ~@body))

(defn block [function type count options]
  "The call of a function that gives memory."
  `(~function ~type.form ~@(if (is count None) [] [count]) ~@(forms.keywords #** options)))


;;; Functions

(defmacro defshared [_hy_compiler #* fields]
  "(defshared NAME \"symbol\" LIBRARY RESULT (PARAMETER TYPE) … :OPTION VALUE …)

  Define ``NAME`` as the C function ``symbol`` of a library, which is given by its name or by a form. A list of symbols
  is tried in turn; ``...`` as the last parameter makes the function variadic. The options are ``:critical``,
  ``:errno``, ``:check``, ``:error``, ``:default``, ``:retry``, ``:attempts``, ``:free``, ``:name``, ``:doc``,
  ``:optional`` and ``:abi``; they mean what they mean for ``Library.bind``. ``:header \"string.h\"`` holds the form against
  the header while it is compiled: what differs is an error here. ::

      (defshared my-strlen \"strlen\" \"libc\" :unsigned-long (s :string))
      (my-strlen \"world\")         ; => 5
      (my-strlen :s \"by name\")    ; => 7"
  (setv [name symbols library result parameters options]
        (forms.read _hy_compiler "defshared" fields
          [forms.NAME forms.SYMBOLS forms.LIBRARY forms.RESULT forms.PARAMETERS forms.FUNCTION-OPTIONS]))
  (setv [text beside] (forms.declaration symbols result parameters)
        options (forms.held _hy_compiler "defshared" fields symbols result parameters options))
  `(setv ~name (~(runtime _hy_compiler 'bind) ~library ~text ~@(forms.keywords #** beside #** options))))

(defmacro defshared-with-errno [_hy_compiler #* fields]
  "(defshared-with-errno NAME \"symbol\" LIBRARY RESULT (PARAMETER TYPE) … :OPTION VALUE …)

  As ``defshared``, for a function that sets ``errno``: a negative result, or ``NULL`` where the result is a pointer,
  raises ``ForeignOSError``. ``:check`` says otherwise. ::

      (defshared-with-errno c-rmdir \"rmdir\" \"libc\" :int (path :string))
      (c-rmdir \"/no/such/folder\")
      ; ForeignOSError: rmdir(path='/no/such/folder') gave -1: [errno 2] No such file or directory"
  (setv [name symbols library result parameters options]
        (forms.read _hy_compiler "defshared-with-errno" fields
          [forms.NAME forms.SYMBOLS forms.LIBRARY forms.CHECKED-RESULT forms.PARAMETERS forms.FUNCTION-OPTIONS]))
  (setv [text beside] (forms.declaration symbols result parameters)
        options (forms.held _hy_compiler "defshared-with-errno" fields symbols result parameters options)
        options {"errno" True  "check" (forms.default-check result)  #** options})
  `(setv ~name (~(runtime _hy_compiler 'bind) ~library ~text ~@(forms.keywords #** beside #** options))))

(defmacro shared-call [_hy_compiler #* fields]
  "(shared-call (\"symbol\" LIBRARY) RESULT (TYPE …) ARGUMENT …)

  Call a C function, which is bound once. A registered name may stand in place of the types. ::

      (shared-call '(\"strlen\" \"libc\") :unsigned-long '(:string) \"hello\")    ; => 5
      (shared-call '(\"strlen\" \"libc\") 'strlen \"hello\")                      ; after (register-signature 'strlen …)"
  (setv [function signature arguments]
        (forms.read _hy_compiler "shared-call" fields [forms.CALLED (many FORM)]))
  (if (isinstance function forms.Named)
      (do
        (setv [result types] signature
              [text beside] (forms.declaration [function.symbol] result (forms.nameless types)))
        `((~(runtime _hy_compiler 'function) ~function.library ~text ~@(forms.keywords #** beside)) ~@arguments))
      `(~(runtime _hy_compiler 'shared-call) ~function ~@signature ~@arguments)))

(defmacro define-library [_hy_compiler #* fields]
  "(define-library NAME (:linux \"file\" …) (:darwin \"file\" …) (:windows \"file\" …))

  Say what a library is called on each platform; its names are tried in turn. ::

      (define-library tls (:linux \"libssl.so.3\" \"libssl.so.1.1\") (:darwin \"libssl.dylib\") (:windows \"libssl-3-x64\"))
      (defshared tls-client-method \"TLS_client_method\" \"tls\" :pointer)"
  (setv [name platforms]
        (forms.read _hy_compiler "define-library" fields [forms.DEFINED-LIBRARY forms.PLATFORMS]))
  `(~(runtime _hy_compiler 'define-library) ~name ~@(forms.keywords #** platforms)))


(defmacro declare-c [_hy_compiler #* fields]
  "(declare-c \"C DECLARATIONS\" :library LIBRARY :as NAME :OPTION VALUE …)

  Bind a block of C declarations: functions, structs, unions, enums, typedefs and variables, as attributes of ``NAME``.
  The options of ``defshared`` but ``:name``, ``:doc`` and ``:free`` hold for every function. With ``:lazy True`` the
  block holds prototypes only, and each is read when its function is first asked for. ::

      (declare-c \"typedef struct { int quot, rem; } div_t;  div_t div(int numerator, int denominator);\"
        :library \"libc\" :as c)
      (c.div 17 5)    ; => div_t(quot=3, rem=2)"
  (setv [text options] (forms.read _hy_compiler "declare-c" fields [forms.C-BLOCK forms.BLOCK-OPTIONS])
        name (.pop options "as")
        library (.pop options "library"))
  `(setv ~name (~(runtime _hy_compiler 'declare) ~library ~text ~@(forms.keywords #** options))))

(defmacro import-header [_hy_compiler #* fields]
  "(import-header \"HEADER\" :library LIBRARY :as NAME :OPTION VALUE …)

  Bind everything that a C header declares, as attributes of ``NAME``: functions, structs, unions, enums, typedefs,
  variables, constants, inline functions. A list names several headers, or several libraries. The options are
  ``:include`` and ``:exclude`` (patterns of C names), ``:prefix`` (what names lose), ``:rename``, ``:cflags``,
  ``:defines``, ``:include-dirs``, ``:pkg-config``, ``:macros``, and those of ``declare-c``, for every function. ::

      (import-header \"stdlib.h\" :library \"libc\" :as c :include [\"div\" \"EXIT_*\"])
      (c.div 17 5)      ; => div_t(quot=3, rem=2)
      c.EXIT-FAILURE    ; => 1"
  (setv [header options] (forms.read _hy_compiler "import-header" fields [forms.HEADERS forms.HEADER-OPTIONS])
        name (.pop options "as"))
  `(setv ~name (~(runtime _hy_compiler 'import-header) ~header ~@(forms.keywords #** options))))

(defmacro defcvar [_hy_compiler #* fields]
  "(defcvar NAME \"symbol\" LIBRARY TYPE)

  Define ``NAME`` as a variable of a C library: its ``.value`` is read and assigned, its ``.pointer`` points to it. ::

      (defcvar environ \"environ\" \"libc\" (:pointer :string))
      (deref environ.value :string)    ; => \"SHELL=/bin/sh\""
  (setv [name symbol library type]
        (forms.read _hy_compiler "defcvar" fields [forms.NAME forms.SYMBOL forms.LIBRARY forms.TYPE]))
  `(setv ~name (~(runtime _hy_compiler 'foreign-variable) ~symbol ~library ~type.form)))


;;; Signatures

(defmacro register-signature [_hy_compiler #* fields]
  "(register-signature 'NAME RESULT (TYPE …) :OPTION VALUE …)

  Give a signature a name that serves wherever types do. The options are ``:replace`` and ``:abi``. ::

      (register-signature 'strlen :unsigned-long '(:string))"
  (setv [name signature options]
        (forms.read _hy_compiler "register-signature" fields
          [forms.REGISTERED forms.SIGNATURE (forms.options "replace" "abi")]))
  `(~(runtime _hy_compiler 'register-signature) ~name ~@signature ~@(forms.keywords #** options)))

(defmacro get-or-create-trampoline [_hy_compiler #* fields]
  "(get-or-create-trampoline RESULT (TYPE …))

  The one trampoline of a signature, a callable ``(trampoline address #* arguments)``. ::

      (setv trampoline (get-or-create-trampoline :unsigned-long '(:string)))
      (trampoline (.address (lib-open \"libc\") \"strlen\") \"hello\")    ; => 5"
  (setv [signature] (forms.read _hy_compiler "get-or-create-trampoline" fields [forms.SIGNATURE]))
  `(~(runtime _hy_compiler 'get-or-create-trampoline) ~@signature))


;;; Callbacks

(defmacro defcallback [_hy_compiler #* fields]
  "(defcallback NAME RESULT ((PARAMETER TYPE) …) :OPTION VALUE … BODY …)

  Define ``NAME`` as a function that C can call, and Lisp too. The options are ``:on-error``, what C gets when the body
  raises, ``:thread``, ``:give`` and ``:abi``; they mean what they mean for ``make_callback``. A string before other forms
  is the docstring. With ``:native True`` the body is native code, as that of ``defnative``, and ``(:in T)`` its value.
  ``:export`` is a C name, as a string, by which C programs link against it (docs/native.md). ::

      (defcallback compare-ints :int ((a (:in :int)) (b (:in :int)))
        (- a b))
      (qsort array 8 4 compare-ints)"
  (setv [name result parameters options body]
        (forms.read _hy_compiler "defcallback" fields
          [forms.NAME forms.RESULT forms.PARAMETER-LIST forms.BODY-OPTIONS (many FORM)]))
  (when (.pop options "native")
    (return (native _hy_compiler "defcallback" name result parameters options body)))
  (setv [text special] (forms.prototype (forms.c-name name) result parameters))
  `(defn [(~(runtime _hy_compiler 'callback) ~text ~@(forms.keywords :special special #** options))]
     ~name [~@(forms.inputs parameters)]
     ~@body))

(defn native [compiler macro name result parameters options body]
  "The definition of a native function."
  (setv [text special] (forms.prototype (forms.c-name name) result parameters)
        [doc code scope] (forms.native-body compiler macro name result parameters body (.get options "on-error")))
  `(setv ~name (~(runtime compiler 'native) ~text ~code ~scope ~@(forms.keywords :special special :doc doc #** options))))

(defmacro defnative [_hy_compiler #* fields]
  "(defnative NAME RESULT ((PARAMETER TYPE) …) :OPTION VALUE … BODY …)

  Define ``NAME`` as a function of machine code: the body is of the typed subset of Lisp that docs/native.md has. Lisp calls
  it as any C function, and C does; it is compiled when it is first needed, and is in the cache from then on. The options
  are ``:critical``, which keeps the GIL, and ``:on-error``, what the caller gets instead of zero when the function stops.
  A string before other forms is the docstring. ::

      (defnative compare-ints :int ((a (:pointer :int)) (b (:pointer :int)))
        (- (deref a) (deref b)))
      (qsort array 8 4 compare-ints)"
  (setv [name result parameters options body]
        (forms.read _hy_compiler "defnative" fields
          [forms.NAME forms.RESULT forms.PARAMETER-LIST forms.NATIVE-OPTIONS (many FORM)]))
  (native _hy_compiler "defnative" name result parameters options body))

(defmacro make-callback [_hy_compiler #* fields]
  "(make-callback FUNCTION RESULT (TYPE …) :OPTION VALUE …)

  An object that C can call: a pointer to a C function that calls ``FUNCTION``, for as long as the object lives. A
  registered name may stand in place of the types. The options are those of ``defcallback``. ::

      (make-callback (fn [x] (* x 2)) :int '(:int))"
  (setv [function signature options]
        (forms.read _hy_compiler "make-callback" fields
          [(forms.any-form "a function") forms.SIGNATURE forms.CALLBACK-OPTIONS]))
  `(~(runtime _hy_compiler 'make-callback) ~function ~@signature ~@(forms.keywords #** options)))

(defmacro with-callback [_hy_compiler #* fields]
  "(with-callback (NAME FUNCTION RESULT (TYPE …) :OPTION VALUE …) BODY …)

  Make a callback for the length of the body. A list of such bindings makes several. ::

      (with-callback (cmp (fn [a b] (- (deref-int a) (deref-int b))) :int '(:pointer :pointer))
        (qsort array 8 4 cmp))"
  (setv [bindings body]
        (forms.read _hy_compiler "with-callback" fields
          [(forms.bindings "(NAME FUNCTION RESULT (TYPE …))"
             forms.NAME (forms.any-form "a function") forms.SIGNATURE forms.CALLBACK-OPTIONS)
           (many FORM)]))
  (within
    (lfor [name function signature options] bindings
      [name `(~(runtime _hy_compiler 'make-callback) ~function ~@signature ~@(forms.keywords #** options))])
    body))

(defmacro call-async [_hy_compiler #* fields]
  "(call-async FUNCTION ARGUMENT …)

  To be awaited: a blocking foreign call on a thread of its own, off the asyncio loop. ``(\"symbol\" LIBRARY)``, the
  result's type and the parameter types may stand in place of the function, as in ``shared-call``. ::

      (await (call-async my-strlen \"hello\"))
      (await (call-async '(\"usleep\" \"libc\") :int '(:unsigned-int) 1000))"
  (setv [function arguments]
        (forms.read _hy_compiler "call-async" fields [forms.CALLED-ASYNC (many FORM)]))
  `(~(runtime _hy_compiler 'call-async) ~@function ~@arguments))


;;; Structs

(defn aggregate [compiler macro kind fields]
  "The definition of a struct or union."
  (setv [[name text special members] options]
        (forms.read compiler macro fields [(forms.definition kind) forms.STRUCT-OPTIONS]))
  `(setv ~name (~(runtime compiler 'struct) ~text
                 ~@(forms.keywords :special special :options members #** options))))

(defmacro define-c-struct [_hy_compiler #* fields]
  "(define-c-struct NAME (MEMBER TYPE :OPTION VALUE …) … :OPTION VALUE …)

  Define a struct with C's layout; ``NAME`` is its type and makes its instances. A member's options are ``:bits``,
  ``:align``, ``:packed`` and ``:offset``, the struct's ``:packed``, which is True or the number of ``#pragma pack``, and
  ``:align``; ``:header`` proves the layout against the compiler. A member called ``None`` is an unnamed bit-field, or an anonymous struct or union. ::

      (define-c-struct timespec (sec :long) (nsec :long))
      (timespec :sec 5)    ; => timespec(sec=5, nsec=0)"
  (aggregate _hy_compiler "define-c-struct" "struct" fields))

(defmacro define-c-union [_hy_compiler #* fields]
  "(define-c-union NAME (MEMBER TYPE :OPTION VALUE …) … :OPTION VALUE …)

  Define a union, whose members share one place; its options are those of ``define-c-struct``. ::

      (define-c-union value (i :int64) (d :double) (p :pointer))
      (. (value :d 1.0) i)    ; => 4607182418800017408"
  (aggregate _hy_compiler "define-c-union" "union" fields))

(defmacro define-c-struct-auto [_hy_compiler #* fields]
  "(define-c-struct-auto NAME \"struct tag { … };\" :OPTION VALUE …)

  Define a struct from its declaration in C; the layout is computed. With ``:header``, from the header alone: the C
  compiler gives the layout. The other options are ``:packed`` and ``:align``. ::

      (define-c-struct-auto pair \"struct pair { char c; double d; };\")
      pair.size    ; => 16
      (define-c-struct-auto stat-struct \"struct stat\" :header \"sys/stat.h\")"
  (setv [name [text options]]
        (forms.read _hy_compiler "define-c-struct-auto" fields [forms.NAME forms.AUTO-DEFINITION]))
  `(setv ~name (~(runtime _hy_compiler 'struct) ~text :name ~(forms.c-name name) ~@(forms.keywords #** options))))

(defmacro with-c-struct [_hy_compiler #* fields]
  "(with-c-struct (NAME STRUCT :MEMBER VALUE …) BODY …)

  Make a struct for the length of the body; ``NAME`` is the instance. A list of such bindings makes several. ::

      (with-c-struct (ts timespec)
        (setv (struct-ref ts 'sec) 5)
        (dict ts))    ; => {\"sec\" 5  \"nsec\" 0}"
  (setv [bindings body]
        (forms.read _hy_compiler "with-c-struct" fields
          [(forms.bindings "(NAME STRUCT)" forms.NAME forms.STRUCT (many FORM)) (many FORM)]))
  (within (lfor [name struct values] bindings  [name `(~struct ~@values)]) body))

(defmacro struct-ref [_hy_compiler #* fields]
  "(struct-ref STRUCT 'MEMBER)

  The value of a member, which can be assigned. A symbol, quoted or not, is the member's name; any other form gives
  it. ::

      (setv (struct-ref ts 'sec) 123456789)"
  (setv [struct member]
        (forms.read _hy_compiler "struct-ref" fields [(forms.value "a struct") forms.MEMBER]))
  `(get ~struct ~member))


;;; Enums, and types of the user's own

(defmacro define-c-enum [_hy_compiler #* fields]
  "(define-c-enum NAME :CONSTANT (:CONSTANT VALUE) … :type TYPE)

  Define an enum, whose values cross by name. A constant without a value counts on from the last one, as in C. ::

      (define-c-enum color :red :green (:blue 7))
      color.blue                                          ; => 7
      (list (foreign-alloc color :initial [\"green\" 7]))    ; => [\"green\" \"blue\"]"
  (setv [name [constants type]]
        (forms.read _hy_compiler "define-c-enum" fields [forms.TYPE-NAME forms.CONSTANTS]))
  `(setv ~name (~(runtime _hy_compiler 'define-c-enum) ~(forms.c-name name) ~constants ~@(forms.keywords :type type))))

(defmacro define-c-flags [_hy_compiler #* fields]
  "(define-c-flags NAME (:CONSTANT VALUE) … :type TYPE)

  Define flags: an integer whose bits cross as a set of names. ::

      (define-c-flags open-flags (:create 64) (:truncate 512))
      (get (foreign-alloc open-flags :count 1 :initial 576) 0)    ; => <open_flags create | truncate>"
  (setv [name [constants type]]
        (forms.read _hy_compiler "define-c-flags" fields [forms.TYPE-NAME forms.FLAGS]))
  `(setv ~name (~(runtime _hy_compiler 'define-c-flags) ~(forms.c-name name) ~constants ~@(forms.keywords :type type))))

(defmacro define-c-type [_hy_compiler #* fields]
  "(define-c-type NAME TYPE)

  Give a C type a name that serves wherever types do, as ``NAME`` and as ``:NAME``. Without a type it names an opaque
  struct, of which C only gives pointers. ::

      (define-c-type fd :int)
      (define-c-type SNDFILE)
      (defshared sf-close \"sf_close\" \"sndfile\" :int (file (:pointer SNDFILE)))"
  (setv [name type] (forms.read _hy_compiler "define-c-type" fields [forms.TYPE-NAME (maybe forms.TYPE)]))
  `(setv ~name (~(runtime _hy_compiler 'define-c-type) ~(forms.c-name name) ~@(if type [type.form] []))))

(defmacro define-foreign-type [_hy_compiler #* fields]
  "(define-foreign-type NAME :base TYPE :to-foreign FUNCTION :from-foreign FUNCTION)

  Define a type over another: ``:to-foreign`` makes what the base takes, ``:from-foreign`` what the user gets; either may
  be missing. ::

      (import datetime [date])
      (define-foreign-type day :base :int :to-foreign date.toordinal :from-foreign date.fromordinal)
      (get (foreign-alloc day :initial [(date 2000 2 28)]) 0)    ; => (datetime.date 2000 2 28)"
  (setv [name [base functions]]
        (forms.read _hy_compiler "define-foreign-type" fields [forms.TYPE-NAME forms.FOREIGN-TYPE]))
  `(setv ~name (~(runtime _hy_compiler 'define-foreign-type) ~(forms.c-name name) ~base ~@(forms.keywords #** functions))))

(defmacro define-foreign-class [_hy_compiler #* fields]
  "(define-foreign-class NAME :free \"symbol\" :acquire \"symbol\")

  Define a class of C objects that are counted: a result of type ``NAME`` is an object that is freed when it is collected,
  or by ``with``; ``copy.copy`` acquires it once more. ::

      (define-foreign-class image :free \"image_unref\" :acquire \"image_ref\")
      (defshared image-new \"image_new\" library image (width :int) (height :int))"
  (setv [name options]
        (forms.read _hy_compiler "define-foreign-class" fields [forms.TYPE-NAME (forms.options "free" "acquire")]))
  `(setv ~name (~(runtime _hy_compiler 'define-foreign-class) ~(forms.c-name name) ~@(forms.keywords #** options))))


;;; Memory

(defmacro foreign-alloc [_hy_compiler #* fields]
  "(foreign-alloc TYPE :count N :initial VALUES)

  Allocate ``N`` values of a type, or one; ``foreign-free`` ends it. ::

      (foreign-alloc :int :count 3 :initial [7 8])"
  (setv [type count options]
        (forms.read _hy_compiler "foreign-alloc" fields [forms.TYPE forms.COUNT (forms.options "count" "initial")]))
  (block (runtime _hy_compiler 'foreign-alloc) type count options))

(defmacro with-foreign-memory [_hy_compiler #* fields]
  "(with-foreign-memory ((NAME TYPE :count N :initial VALUES) …) BODY …)

  Allocate memory for the length of the body; several blocks are freed in reverse order. ::

      (with-foreign-memory ((p :int :count 10 :initial (range 10)))
        (sum p))    ; => 45"
  (setv [bindings body]
        (forms.read _hy_compiler "with-foreign-memory" fields
          [(forms.bindings "(NAME TYPE :count N)" forms.NAME forms.TYPE forms.COUNT (forms.options "count" "initial"))
           (many FORM)]))
  (within
    (lfor [name type count options] bindings  [name (block (runtime _hy_compiler 'foreign-memory) type count options)])
    body))

(defmacro with-pooled-memory [_hy_compiler #* fields]
  "(with-pooled-memory ((NAME TYPE :count N) …) BODY …)

  As ``with-foreign-memory``, of blocks that are used again, and hold what was last in them. ::

      (with-pooled-memory ((p :int :count 100))
        (setv (get p 0) 7))"
  (setv [bindings body]
        (forms.read _hy_compiler "with-pooled-memory" fields
          [(forms.bindings "(NAME TYPE :count N)" forms.NAME forms.TYPE forms.COUNT (forms.options "count"))
           (many FORM)]))
  (within
    (lfor [name type count options] bindings  [name (block (runtime _hy_compiler 'pooled-memory) type count options)])
    body))

(defmacro with-arena [_hy_compiler #* fields]
  "(with-arena [NAME :kind KIND] BODY …)

  An arena for the length of the body: the memory that it gives ends together. ``KIND`` is ``shared``, ``confined`` (to
  this thread) or ``collected``. ::

      (with-arena [a]
        (setv p (a.alloc \"int\" :count 3))
        (list p))    ; => [0 0 0]"
  (setv [bindings body]
        (forms.read _hy_compiler "with-arena" fields
          [(forms.bindings "[NAME :kind KIND]" forms.NAME (forms.options "kind")) (many FORM)]))
  (within
    (lfor [name options] bindings  [name `(~(runtime _hy_compiler 'arena) ~@(forms.keywords #** options))])
    body))

(defmacro with-ffi [_hy_compiler #* fields]
  "(with-ffi [NAME] BODY …)

  A scope for the length of the body: the libraries, the memory and the callbacks that are made through it end with it,
  what was made last first. ::

      (with-ffi [s]
        (setv c (s.lib-open \"libc\")
              p (s.alloc \"int\" :count 3)
              f (s.callback (fn [x] x) \"int\" [\"int\"]))
        …)"
  (setv [bindings body]
        (forms.read _hy_compiler "with-ffi" fields [(forms.bindings "[NAME]" forms.NAME) (many FORM)]))
  (within (lfor [name] bindings  [name `(~(runtime _hy_compiler 'scope))]) body))

(defmacro with-pinned-array [_hy_compiler #* fields]
  "(with-pinned-array (NAME ARRAY) BODY …)

  A pointer to the memory of a ``bytearray``, ``array``, NumPy array …, without a copy, for the length of the body. A
  list of such bindings pins several. ::

      (setv data (bytearray 1000))
      (with-pinned-array (p data)
        (shared-call '(\"memset\" \"libc\") :pointer '(:pointer :int :size) p 7 1000))"
  (setv [bindings body]
        (forms.read _hy_compiler "with-pinned-array" fields
          [(forms.bindings "(NAME ARRAY)" forms.NAME (forms.value "an array")) (many FORM)]))
  (within (lfor [name array] bindings  [name `(~(runtime _hy_compiler 'pinned-array) ~array)]) body))

(defmacro from-buffer [_hy_compiler #* fields]
  "(from-buffer POINTER SHAPE TYPE :copy BOOL)

  A NumPy array of what ``POINTER`` points to. ``SHAPE`` and ``TYPE`` may be missing where the memory knows them; the type
  is C's or a dtype. With ``:copy False`` the array shares the memory. ::

      (from-buffer samples [1024 2] :float)
      (from-buffer samples :copy False)"
  (setv [pointer shape dtype options]
        (forms.read _hy_compiler "from-buffer" fields
          [(forms.value "a pointer") forms.SHAPE forms.DTYPE (forms.options "copy")]))
  `(~(runtime _hy_compiler 'from-buffer) ~pointer ~@(forms.keywords :shape shape :dtype dtype #** options)))

(defmacro numpy-dtype [_hy_compiler #* fields]
  "(numpy-dtype TYPE)

  The NumPy dtype with the layout of a C type. ::

      (numpy-dtype :unsigned-short)    ; => (dtype \"uint16\")"
  (setv [type] (forms.read _hy_compiler "numpy-dtype" fields [forms.TYPE]))
  `(~(runtime _hy_compiler 'numpy-dtype) ~type.form))

(defmacro with-foreign-batch [_hy_compiler #* fields]
  "(with-foreign-batch (FUNCTION ARGUMENT … :as NAME) …)

  Make the calls in order, in one crossing; a list of all their results. ``NAME`` is the result for the calls that follow.
  A failed check stops the batch. ::

      (with-foreign-batch (my-strlen \"a\") (my-strlen \"bc\" :as n) (c-abs n))    ; => [1 2 2]"
  (setv [[shape arguments]]
        (forms.read _hy_compiler "with-foreign-batch" fields [(forms.batch _hy_compiler)])
        plan (hy.gensym "batch"))
  ;; The plan is made when the form is first run, and is the module's from then on.
  `(do
     (try
       ~plan
       (except [(. (hy.I "builtins") NameError)]
         (setv (get ((. (hy.I "builtins") globals)) ~(hy.mangle (str plan)))
               (~(runtime _hy_compiler 'planned-batch) ~shape))))
     (~plan ~@arguments)))

(defmacro deref [_hy_compiler #* fields]
  "(deref POINTER INDEX TYPE)

  The value behind a pointer, or ``INDEX`` elements further. Its type is the pointer's, or ``TYPE``. ::

      (deref p)  (deref p 3)  (deref p :int)  (deref p 3 :int)"
  (setv [[pointer index type]] (forms.read _hy_compiler "deref" fields [forms.ELEMENT]))
  `(~(runtime _hy_compiler 'deref) ~pointer ~@(if (is index None) [] [index]) ~@(forms.keywords :type type)))

(defmacro sizeof [_hy_compiler #* fields]
  "(sizeof TYPE)

  The bytes that a value of a type takes. ::

      (sizeof :int)    ; => 4"
  (setv [type] (forms.read _hy_compiler "sizeof" fields [forms.TYPE]))
  `(~(runtime _hy_compiler 'sizeof) ~type.form))

(defmacro alignof [_hy_compiler #* fields]
  "(alignof TYPE)

  The alignment of a type, in bytes. ::

      (alignof :double)    ; => 8"
  (setv [type] (forms.read _hy_compiler "alignof" fields [forms.TYPE]))
  `(~(runtime _hy_compiler 'alignof) ~type.form))

(defmacro offsetof [_hy_compiler #* fields]
  "(offsetof TYPE 'MEMBER …)

  The bytes from the start of a struct to a member; more names and indices lead into it. ::

      (offsetof timespec 'nsec)    ; => 8"
  (setv [type members] (forms.read _hy_compiler "offsetof" fields [forms.TYPE (many forms.MEMBER)]))
  `(~(runtime _hy_compiler 'offsetof) ~type.form ~@members))

(defmacro cast [_hy_compiler #* fields]
  "(cast POINTER TYPE)

  A pointer as one of another type, which ends with the memory that it points into. ::

      (cast p (:pointer :uint8))
      (cast p :uintptr)    ; => the address"
  (setv [pointer type] (forms.read _hy_compiler "cast" fields [(forms.value "a pointer") forms.TYPE]))
  `(~(runtime _hy_compiler 'cast) ~pointer ~type.form))

(defmacro foreign-string [_hy_compiler #* fields]
  "(foreign-string POINTER :encoding \"utf-8\" :errors \"strict\" :length N)

  The text at a pointer, up to a NUL or ``N`` bytes. ::

      (foreign-string p)    (foreign-string p :encoding \"latin-1\" :length 80)"
  (setv [pointer options]
        (forms.read _hy_compiler "foreign-string" fields
          [(forms.value "a pointer") (forms.options "encoding" "errors" "length")]))
  `(~(runtime _hy_compiler 'foreign-string) ~pointer ~@(forms.keywords #** options)))


;;; Conversions

(defmacro defconverter [_hy_compiler #* fields]
  "(defconverter to-foreign [VALUE CLASS] TYPE BODY …)

  Say how values of a Python class become a C type; or with ``from-foreign``, what the type's values of a class become. ::

      (defconverter to-foreign [value pathlib.Path] :string (str value))"
  (setv [direction [[value class]] type body]
        (forms.read _hy_compiler "defconverter" fields [forms.DIRECTION forms.CONVERTED forms.TYPE (many FORM)]))
  `(defn [(~(runtime _hy_compiler 'converter) ~direction ~class ~type.form)] ~(hy.gensym direction) [~value]
     ~@body))

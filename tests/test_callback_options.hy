;; API §5 from Lisp: the options of callbacks, and call-async.

(require epsilon [call-async defcallback defshared get-or-create-trampoline make-callback with-callback])
(import asyncio threading types
  hy.errors [HySyntaxError]
  pytest
  epsilon
  epsilon [callbacks])

(setv apply (get-or-create-trampoline :int '(:int)))

(defn on-thread [callback x]
  "Call it on another thread; a thread, and a list for what comes out."
  (setv out []
        thread (threading.Thread :target (fn []
                 (try (.append out (apply callback x))
                   (except [error Exception] (.append out error))))))
  (.start thread)
  [thread out])

(defcallback queued :int ((x :int)) :thread :queue :on-error -1
  "Twice x."
  (* 2 x))

(defn test-thread-queue []
  (assert (= (apply queued 4) 8))
  (setv [thread out] (on-thread queued 5))
  (assert (= (callbacks.run-pending None) 1))
  (.join thread)
  (assert (= out [10]))
  (assert (= queued.__doc__ "Twice x.")))

(defn test-thread-same []
  (with-callback (c (fn [x] x) :int '(:int) :thread "same")
    (setv [thread out] (on-thread c 5))
    (.join thread))
  (assert (isinstance (get out 0) epsilon.ForeignError)))

(defn test-thread-loop []
  (defn :async main []
    (setv c (make-callback (fn [x] (+ x 1)) :int '(:int) :thread :loop))
    (await (call-async apply c 4)))
  (assert (= (asyncio.run (main)) 5)))

(defn test-thread-may-be-a-loop-of-that-name []
  "A bare symbol is a variable, not a word."
  (setv loop (asyncio.new-event-loop))
  (defn :async main []
    (setv c (make-callback (fn [x] (+ x 1)) :int '(:int) :thread loop))
    (await (call-async apply c 4)))
  (assert (= (.run-until-complete loop (main)) 5))
  (.close loop))

(defn test-on-error-callable []
  (setv seen [])
  (defcallback broken :int ((x :int)) :on-error (fn [error] (.append seen error) -7)
    (// 1 x))
  (with [caught (pytest.raises ZeroDivisionError)]
    (apply broken 0))
  (assert (= seen [caught.value])))

(defn test-give []
  (defcallback text :string () :give True  "given")
  (setv call (get-or-create-trampoline '(:string :encoding None) '()))
  (assert (= (call text) b"given")))

(defn test-abi []
  (with-callback (c (fn [x] x) :int '(:int) :abi :cdecl)
    (assert (= (apply c 4) 4))))

(defn test-call-async []
  (defshared my-strlen "strlen" "libc" :unsigned-long (s :string))
  (assert (= (asyncio.run (call-async my-strlen "four")) 4))
  (assert (= (asyncio.run (call-async my-strlen :s "four")) 4))
  (assert (= (asyncio.run (call-async '("strlen" "libc") :unsigned-long '(:string) "four")) 4))
  (assert (= (asyncio.run (call-async ("strlen" "libc") :unsigned-long [:string] "four")) 4))
  (assert (= (asyncio.run (epsilon.call-async my-strlen "four")) 4)))

(defn [(pytest.mark.parametrize ["form" "message"] [
    ['(make-callback f :int '(:int) :thread :quee) "unknown thread policy :quee; did you mean 'queue'"]
    ['(make-callback f :int '(:int) :thread) "the option :thread needs a value"]
    ['(make-callback f :int '(:int) :giv True) "unknown option :giv; did you mean ':give'"]
    ['(defcallback f :int () :on-errr 1 2) "unknown option :on-errr"]
    ['(with-callback (c f :int '(:int) :abi :paskal) c) "unknown calling convention :paskal"]
    ['(call-async) "the form ends where"]])]
  test-mistakes [form message]
  (with [caught (pytest.raises HySyntaxError)]
    (hy.eval `(do (require epsilon [call-async defcallback make-callback with-callback]) ~form)
      :module (types.ModuleType "mistaken")))
  (assert (in message (str caught.value.msg))))

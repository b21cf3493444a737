"libsndfile and NumPy from Lisp: a tone is written to a WAV file, loaded into an array, normalised, saved and compared.

Run it with ``hy examples/audio.hy``. It needs libsndfile (``libsndfile1`` on Debian), no header and no compiler, and NumPy
(``pip install 'epsilon-ffi[numpy]'``). The C declarations in the comments are those of
https://libsndfile.github.io/libsndfile/api.html and of sndfile.h."

(import epsilon [ForeignError LibraryLoadError into-buffer lib-open]
        os sys tempfile)
(require epsilon [define-c-struct define-c-type defshared foreign-alloc from-buffer with-foreign-memory])

;; An example without its library is nothing to fail about: it says what is missing, and where to get it.
(try
  (import numpy :as np)
  (setv sndfile (lib-open "libsndfile"))
  (except [[ImportError LibraryLoadError]]
    (print "skipped: this example needs NumPy (pip install numpy) and libsndfile (Debian: libsndfile1)")
    (sys.exit 0)))

;;; The types that we need
(define-c-type SNDFILE)

;;   typedef struct { sf_count_t frames; int samplerate; int channels; int format; int sections; int seekable; } SF_INFO;
(define-c-struct SF-INFO
  (frames :int64) (samplerate :int) (channels :int) (format :int) (sections :int) (seekable :int))

;; What we need of the enumerations of sndfile.h.
(setv READ 0x10  WRITE 0x20
      WAV 0x010000  PCM-16 0x0002)

;;; The functions that we need
;; libsndfile tells what went wrong by the file, or by NULL where it was not opened.
;;   const char *sf_strerror(SNDFILE *sndfile);
(defshared sf-strerror "sf_strerror" sndfile :string (file (:pointer SNDFILE)))

;; `:check` says what success looks like, `:error` who knows what went wrong, `:free` what closes the file at the end of
;; `with`. The result of a failed open is NULL, and that is what sf_strerror wants to be asked with.
;;   SNDFILE *sf_open(const char *path, int mode, SF_INFO *sfinfo);
(defshared sf-open "sf_open" sndfile (:pointer SNDFILE)
  (path :string) (mode :int) (info (:pointer SF-INFO))
  :check non-null :error (fn [result #* arguments] (sf-strerror None)) :free "sf_close")

;;   sf_count_t sf_writef_float(SNDFILE *sndfile, const float *ptr, sf_count_t frames);
;;   sf_count_t sf_readf_float(SNDFILE *sndfile, float *ptr, sf_count_t frames);
(defshared sf-writef-float "sf_writef_float" sndfile :int64 (file (:pointer SNDFILE)) (samples (:pointer :float)) (frames :int64)
  :check positive :error (fn [result file #* arguments] (sf-strerror file)))
(defshared sf-readf-float "sf_readf_float" sndfile :int64 (file (:pointer SNDFILE)) (samples (:pointer :float)) (frames :int64)
  :check nonnegative :error (fn [result file #* arguments] (sf-strerror file)))

;;; From arrays to files and back

(defn save [path samples rate]
  "Write an array of frames × channels as 16-bit WAV."
  (setv [frames channels] samples.shape
        info (SF-INFO :samplerate rate :channels channels :format (| WAV PCM-16)))
  (with [file (sf-open path WRITE info)]
    (with-foreign-memory ((block :float :count samples.size))
      (into-buffer samples block)    ; any strides will do, the type must be C's
      (sf-writef-float file block frames))))

(defn load [path]
  "The frames × channels of a file, and the frames per second."
  (setv info (SF-INFO))
  (with [file (sf-open path READ info)]
    (setv block (foreign-alloc :float :count (* info.frames info.channels)))
    (assert (= (sf-readf-float file block info.frames) info.frames))
    ;; Without a copy: the array keeps the memory.
    #((from-buffer block [info.frames info.channels] :float :copy False) info.samplerate)))

;;; The program

(defn tone [rate seconds]
  "Two channels, 440 Hz and an octave above, at a quarter of the full scale; Fortran order, for libsndfile to be indifferent to."
  (setv time (/ (np.arange (int (* rate seconds))) rate)
        channels (lfor hertz [440 880]  (* 0.25 (np.sin (* 2 np.pi hertz time)))))
  (. (np.array channels :dtype "float32") T))

(defn peak [samples]
  (float (np.max (np.abs samples))))

(when (= __name__ "__main__")
  (with [folder (tempfile.TemporaryDirectory)]
    (setv quiet (os.path.join folder "quiet.wav")
          loud (os.path.join folder "loud.wav")
          original (tone 44100 0.5))
    (save quiet original 44100)
    (setv [samples rate] (load quiet))
    (print f"loaded:     {(get samples.shape 0)} frames of {(get samples.shape 1)} channels at {rate} Hz, peak {(peak samples) :.3f}")
    ;; 16 bits round to the nearest of 65,536 steps.
    (assert (< (peak (- samples original)) (/ 1 32768)))

    (/= samples (peak samples))    ; in place: the very memory that libsndfile read into
    (save loud samples rate)
    (setv [again _] (load loud)
          difference (peak (- again samples)))
    (print f"normalised: peak {(peak again) :.3f}, {(if (< difference (/ 2 32768)) "the same" "not the same")} after a journey through 16 bits")
    (assert (< difference (/ 2 32768)))

    (try
      (load (os.path.join folder "missing.wav"))
      (except [error ForeignError]
        (print "refused:   " (get (.split (str error) " gave ") 1)))
      (else (raise (AssertionError "libsndfile opened a file that is not there"))))))

-- target.c from LuaJIT: the worker half of remote.py's protocol. Usage: luajit luajit.lua LIBTARGET
-- Calls are compiled by the JIT, as they are in use; loops that C calls back from must be interpreted (the manual,
-- "Callback resource handling": a compiled FFI call must not call back into Lua).
local ffi = require("ffi")

ffi.cdef [[
void f0(void);
int add(int a, int b);
double mul3(double a, double b, double c);
size_t length(const char *text);
long mixed(int a, double b, long c, float d, void *p);
int call_back(int (*f)(int, int), int n);
void qsort(void *base, size_t count, size_t size, int (*compare)(const int *, const int *));
typedef struct { long sec; long nsec; } bench_timespec;
int clock_gettime(int clock, bench_timespec *now);
]]

local C = ffi.load(arg[1])
local now = ffi.new("bench_timespec")
local CLOCK_MONOTONIC = jit.os == "OSX" and 6 or 1

local function nanoseconds()
    ffi.C.clock_gettime(CLOCK_MONOTONIC, now)
    return tonumber(now.sec) * 1e9 + tonumber(now.nsec)
end

local adder = ffi.cast("int (*)(int, int)", function(a, b) return a + b end)
local comparator = ffi.cast("int (*)(const int *, const int *)", function(a, b) return a[0] - b[0] end)

local function call_back(n) return C.call_back(adder, n) end
local function sort(numbers, count) ffi.C.qsort(numbers, count, 4, comparator) end
jit.off(call_back)
jit.off(sort)

local text = "hello, world"
local loops = {
    f0 = function(n) for _ = 1, n do C.f0() end end,
    add = function(n) for _ = 1, n do C.add(3, 4) end end,
    mul3 = function(n) for _ = 1, n do C.mul3(1.5, 2.0, 4.0) end end,
    length = function(n) for _ = 1, n do C.length(text) end end,
    mixed = function(n) for _ = 1, n do C.mixed(1, 2.5, 3, 4.5, nil) end end,
    callback = call_back,
}

local function numbers(count)
    local state, values = 1, ffi.new("int[?]", count)
    for i = 0, count - 1 do
        state = state * 16807 % 2147483647
        values[i] = state
    end
    return values
end

local function timed(action, ...)
    local start = nanoseconds()
    action(...)
    return nanoseconds() - start
end

local counts = {}

local function measure(task, seconds)
    if task == "qsort" then
        local values = numbers(200000)
        local taken = timed(sort, values, 200000)
        for i = 1, 199999 do assert(values[i - 1] <= values[i], "qsort did not sort") end
        return taken
    end
    local loop = loops[task]
    if not counts[task] then
        local count, taken = 1000, 0
        repeat
            count = count * 4
            taken = timed(loop, count)
        until taken > seconds * 1e9 / 5
        counts[task] = math.floor(count * seconds * 1e9 / taken)
    end
    return timed(loop, counts[task]) / counts[task]
end

assert(C.add(3, 4) == 7 and C.mul3(1.5, 2.0, 4.0) == 12 and C.length(text) == #text)
assert(C.mixed(1, 2.5, 3, 4.5, nil) == 10 and call_back(100) == 2746)

io.stdout:setvbuf("no")
print("ready " .. jit.version .. "|f0 add mul3 length mixed callback qsort")
for line in io.lines() do
    local task, seconds = line:match("(%S+) (%S+)")
    local fine, answer = pcall(measure, task, tonumber(seconds))
    print(fine and ("%.4f"):format(answer) or "failed " .. tostring(answer))
end

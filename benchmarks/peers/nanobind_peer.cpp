// target.c through nanobind: plain `m.def` of each function, as its manual shows.
#include <exception>
#include <utility>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#define BINDER nanobind
#include "target.hpp"

namespace nb = nanobind;
using namespace nb::literals;

NB_MODULE(nanobind_peer, m)
{
    m.def("f0", &f0);
    m.def("add", &add, "a"_a, "b"_a);
    m.def("mul3", &mul3, "a"_a, "b"_a, "c"_a);
    m.def("length", &length, "text"_a);
    m.def("mixed", &mixed, "a"_a, "b"_a, "c"_a, "d"_a, "p"_a.none());
    m.def("call_back", &py_call_back);
    m.def("sort", [](nb::ndarray<int, nb::ndim<1>, nb::c_contig> data, nb::handle callable) {
        sort_ints(data.data(), data.size(), callable);
    });
}

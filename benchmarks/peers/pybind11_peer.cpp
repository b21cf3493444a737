// target.c through pybind11: plain `m.def` of each function, as its manual shows.
#include <exception>
#include <utility>
#include <pybind11/pybind11.h>

#define BINDER pybind11
#include "target.hpp"

namespace py = pybind11;
using namespace py::literals;

PYBIND11_MODULE(pybind11_peer, m)
{
    m.def("f0", &f0);
    m.def("add", &add, "a"_a, "b"_a);
    m.def("mul3", &mul3, "a"_a, "b"_a, "c"_a);
    m.def("length", &length, "text"_a);
    m.def("mixed", &mixed, "a"_a, "b"_a, "c"_a, "d"_a, "p"_a);
    m.def("call_back", &py_call_back);
    m.def("sort", [](py::buffer data, py::handle callable) {
        py::buffer_info view = data.request(true);
        sort_ints(static_cast<int *>(view.ptr), static_cast<size_t>(view.size), callable);
    });
}

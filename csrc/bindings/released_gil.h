// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Python.h>

#include <chrono>
#include <thread>

namespace hpip::bindings {

// Releases the GIL for a scope, as pybind11's gil_scoped_release does, in daemon threads too.
//
// A thread that asks for the GIL while the interpreter ends is ended by Python before 3.14 with
// pthread_exit, which unwinds the stack as an exception of its own kind. pybind11's destructor lets
// none pass and its dispatcher swallows it, and either aborts the process (SIGABRT at exit). Such a
// thread sleeps here until the process is gone, which is what Python 3.14 does itself.
class ReleasedGil {
 public:
  ReleasedGil() : state_(PyEval_SaveThread()) {}
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;
  ~ReleasedGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // nothing but the end of the interpreter is thrown from C
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

}  // namespace hpip::bindings

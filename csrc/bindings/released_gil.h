// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Python.h>

#include <chrono>
#include <thread>

namespace hpip::bindings {

// Releases the GIL for a scope, like pybind11's gil_scoped_release, and is safe in daemon threads.
//
// Before Python 3.14, a thread that requests the GIL during the finalization of the interpreter is
// terminated with pthread_exit, which unwinds the stack with a special exception. In pybind11, a
// noexcept destructor and a dispatcher that swallows this exception abort the process (SIGABRT at
// exit). Here, such a thread sleeps until the process has ended, as in Python 3.14.
class ReleasedGil {
 public:
  ReleasedGil() : state_(PyEval_SaveThread()) {}
  ReleasedGil(const ReleasedGil&) = delete;
  ReleasedGil& operator=(const ReleasedGil&) = delete;
  ~ReleasedGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // C code throws nothing but the exception of pthread_exit
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

}  // namespace hpip::bindings

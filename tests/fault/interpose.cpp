// SPDX-License-Identifier: MIT

// Preloaded: makes the n-th call of one function fail, as RINGPOOL_FAULT=FUNCTION:N:ERRNO says, and
// creates the file that RINGPOOL_FAULT_FIRED names when it does. Calls count from the start of main
// (before, nobody could catch anything) or, with RINGPOOL_FAULT_ARMED=later, while the program has
// it armed.

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void ringpool_fault_arm(bool on);
}

namespace {

char wanted[32];
long fires_at = 0;  // 0: never
int error_number = ENOMEM;
std::atomic<bool> armed{false};
std::atomic<long> calls{0};

/// Before main, and before most of the process: no C++ library in here.
[[gnu::constructor]] void read_environment() {
  const char* const text = std::getenv("RINGPOOL_FAULT");
  const char* const colon = text == nullptr ? nullptr : std::strchr(text, ':');
  if (colon == nullptr || colon - text >= static_cast<long>(sizeof wanted)) {
    return;
  }
  std::memcpy(wanted, text, static_cast<std::size_t>(colon - text));
  char* end = nullptr;
  fires_at = std::strtol(colon + 1, &end, 10);
  error_number = static_cast<int>(std::strtol(end + 1, nullptr, 10));
}

void leave_mark() {
  if (const char* const path = std::getenv("RINGPOOL_FAULT_FIRED"); path != nullptr) {
    const long file = ::syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0644);
    ::syscall(SYS_close, file);
  }
}

/// True: this call is the one, and errno is set.
bool fails(const char* function) {
  if (fires_at == 0 || !armed || std::strcmp(function, wanted) != 0 || ++calls != fires_at) {
    return false;
  }
  leave_mark();
  errno = error_number;
  return true;
}

template <class Function>
Function* next(Function* /*mine*/, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

/// The rest of a function of the C library that returns `failure` when it fails.
#define RINGPOOL_INTERPOSE(name, failure, ...)           \
  {                                                      \
    static const auto real = next(&::name, #name);       \
    return fails(#name) ? (failure) : real(__VA_ARGS__); \
  }

extern "C" {

void ringpool_fault_arm(bool on) { armed = on; }

using main_function = int (*)(int, char**, char**);
static main_function real_main = nullptr;

static int armed_main(int count, char** arguments, char** environment) {
  armed = std::getenv("RINGPOOL_FAULT_ARMED") == nullptr;
  return real_main(count, arguments, environment);
}

/// What the C library's start-up code calls to run main.
int __libc_start_main(main_function main, int count, char** arguments, void (*start)(),
                      void (*finish)(), void (*unload)(), void* stack_end) {
  real_main = main;
  static const auto real = next(&::__libc_start_main, "__libc_start_main");
  return real(&armed_main, count, arguments, start, finish, unload, stack_end);
}

void* malloc(std::size_t bytes) { return fails("malloc") ? nullptr : __libc_malloc(bytes); }
void* calloc(std::size_t count, std::size_t bytes) {
  return fails("malloc") ? nullptr : __libc_calloc(count, bytes);
}
void* realloc(void* block, std::size_t bytes) {
  return fails("malloc") ? nullptr : __libc_realloc(block, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return fails("malloc") ? nullptr : __libc_memalign(alignment, bytes);
}

void* mmap(void* at, std::size_t bytes, int protection, int flags, int file,
           off_t offset) RINGPOOL_INTERPOSE(mmap, MAP_FAILED, at, bytes, protection, flags, file,
                                            offset) int mprotect(void* at, std::size_t bytes,
                                                                 int protection)
    RINGPOOL_INTERPOSE(mprotect, -1, at, bytes, protection) int madvise(
        void* at, std::size_t bytes,
        int advice) RINGPOOL_INTERPOSE(madvise, -1, at, bytes, advice) int mlock(const void* at,
                                                                                 std::size_t bytes)
        RINGPOOL_INTERPOSE(mlock, -1, at, bytes) int pthread_key_create(pthread_key_t* key,
                                                                        void (*destructor)(void*))
            RINGPOOL_INTERPOSE(pthread_key_create, error_number, key,
                               destructor) int pthread_setspecific(pthread_key_t key,
                                                                   const void* value)
                RINGPOOL_INTERPOSE(pthread_setspecific, error_number, key,
                                   value) int pthread_create(pthread_t* thread,
                                                             const pthread_attr_t* attributes,
                                                             void* (*start)(void*), void* argument)
                    RINGPOOL_INTERPOSE(pthread_create, error_number, thread, attributes, start,
                                       argument)

                        int socket(int domain, int type, int protocol) RINGPOOL_INTERPOSE(
                            socket, -1, domain, type,
                            protocol) int bind(int fd, const sockaddr* address, socklen_t length)
                            RINGPOOL_INTERPOSE(bind, -1, fd, address,
                                               length) int listen(int fd, int backlog)
                                RINGPOOL_INTERPOSE(listen, -1, fd,
                                                   backlog) int getsockname(int fd,
                                                                            sockaddr* address,
                                                                            socklen_t* length)
                                    RINGPOOL_INTERPOSE(getsockname, -1, fd, address,
                                                       length) int setsockopt(int fd, int level,
                                                                              int name,
                                                                              const void* value,
                                                                              socklen_t length)
                                        RINGPOOL_INTERPOSE(setsockopt, -1, fd, level, name, value,
                                                           length) int accept4(int fd,
                                                                               sockaddr* address,
                                                                               socklen_t* length,
                                                                               int flags)
                                            RINGPOOL_INTERPOSE(accept4, -1, fd, address, length,
                                                               flags) int epoll_create1(int flags)
                                                RINGPOOL_INTERPOSE(
                                                    epoll_create1, -1,
                                                    flags) int epoll_ctl(int epoll, int operation,
                                                                         int fd, epoll_event* event)
                                                    RINGPOOL_INTERPOSE(
                                                        epoll_ctl, -1, epoll, operation, fd,
                                                        event) int epoll_wait(int epoll,
                                                                              epoll_event* events,
                                                                              int most, int timeout)
                                                        RINGPOOL_INTERPOSE(epoll_wait, -1, epoll,
                                                                           events, most,
                                                                           timeout) ssize_t
    recv(int fd, void* data, std::size_t bytes, int flags)
        RINGPOOL_INTERPOSE(recv, -1, fd, data, bytes, flags) ssize_t
    sendmsg(int fd, const msghdr* message, int flags)
        RINGPOOL_INTERPOSE(sendmsg, -1, fd, message, flags) int pipe2(int* ends, int flags)
            RINGPOOL_INTERPOSE(pipe2, -1, ends, flags)

                int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return fails("open") ? -1 : static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

/// What the library calls without a wrapper in the C library.
long syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  long arguments[6];
  for (long& one : arguments) {
    one = va_arg(rest, long);
  }
  va_end(rest);
  const char* const name = number == SYS_membarrier ? "membarrier"
                           : number == SYS_mbind    ? "mbind"
                           : number == SYS_clone    ? "clone"
                                                    : "";
  static const auto real = next(&::syscall, "syscall");
  return fails(name) ? -1
                     : real(number, arguments[0], arguments[1], arguments[2], arguments[3],
                            arguments[4], arguments[5]);
}

}  // extern "C"

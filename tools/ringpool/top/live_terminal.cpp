// SPDX-License-Identifier: MIT
#include "top/live_terminal.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace ringpool::tools {
namespace {

// ECMA-48, and the private modes of xterm: 1049 is the alternate screen, 25 the cursor, 7 the wrap
// of long lines.
constexpr std::string_view enter_screen = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J";
constexpr std::string_view leave_screen = "\x1b[?7h\x1b[?25h\x1b[?1049l";
constexpr char end_of_text = '\x03';

[[noreturn]] void fail_terminal(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void write_whole(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t done = ::write(STDOUT_FILENO, text.data(), text.size());
    if (done < 0 && errno != EINTR && errno != EAGAIN) {
      return;  // the terminal is gone, and SIGHUP on its way
    }
    text.remove_prefix(done < 0 ? 0 : static_cast<std::size_t>(done));
  }
}

}  // namespace

live_terminal::live_terminal() {
  if (::tcgetattr(STDIN_FILENO, &before_) != 0) {
    fail_terminal("standard input");
  }
  ::sigset_t watched;
  ::sigemptyset(&watched);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH}) {
    ::sigaddset(&watched, signal);
  }
  signals_ = descriptor(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) {
    fail_terminal("signalfd");
  }
  ::sigprocmask(SIG_BLOCK, &watched, &signals_before_);
  enter();
}

live_terminal::~live_terminal() {
  leave();
  ::sigprocmask(SIG_SETMASK, &signals_before_, nullptr);
}

void live_terminal::enter() const {
  ::termios wanted = before_;
  wanted.c_lflag &= ~static_cast<::tcflag_t>(ICANON | ECHO);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &wanted);
  write_whole(enter_screen);
}

void live_terminal::leave() const noexcept {
  write_whole(leave_screen);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

void live_terminal::suspend() const {
  leave();
  ::raise(SIGSTOP);  // from here on after SIGCONT
  enter();
}

live_terminal::event live_terminal::wait(std::chrono::milliseconds longest) {
  std::array<::pollfd, 2> watched{{{signals_.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
  if (::poll(watched.data(), watched.size(), static_cast<int>(longest.count())) <= 0) {
    return event::timeout;
  }
  return watched[0].revents != 0 ? read_signal() : read_key();
}

live_terminal::event live_terminal::read_signal() const {
  ::signalfd_siginfo came{};
  if (::read(signals_.get(), &came, sizeof came) != sizeof came) {
    return event::redraw;
  }
  if (came.ssi_signo == SIGTSTP) {
    suspend();
    return event::redraw;
  }
  return came.ssi_signo == SIGWINCH ? event::redraw : event::quit;
}

live_terminal::event live_terminal::read_key() {
  char key = 0;
  if (::read(STDIN_FILENO, &key, 1) <= 0) {
    return event::quit;  // no terminal any more
  }
  return key == 'q' || key == 'Q' || key == end_of_text ? event::quit : event::redraw;
}

void live_terminal::draw(std::string_view lines) const {
  std::string text = "\x1b[H";
  std::size_t rows = size().rows;
  while (!lines.empty() && rows != 0) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    text += lines.substr(0, end);
    text += "\x1b[0m\x1b[K";
    text += --rows == 0 ? "" : "\r\n";  // a new line on the last row would scroll
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  write_whole(text + (rows == 0 ? "" : "\x1b[J"));
}

terminal_size live_terminal::size() noexcept {
  ::winsize said{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &said) != 0 || said.ws_col == 0 || said.ws_row == 0) {
    return {};
  }
  return {said.ws_col, said.ws_row};
}

}  // namespace ringpool::tools

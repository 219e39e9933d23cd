// SPDX-License-Identifier: MIT
#include "explorer.hpp"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <span>
#include <sstream>
#include <string_view>

namespace ringpool::model {
namespace {

/// Thread `max_threads` is the set-up and the final check, before and after all others.
constexpr unsigned outside = max_threads;
using clock = std::array<std::uint32_t, max_threads + 1>;

void join(clock& into, const clock& from) {
  for (unsigned i = 0; i < into.size(); ++i) {
    into[i] = std::max(into[i], from[i]);
  }
}

constexpr std::size_t max_locations = 96;

/// How far a thread has seen each location, and what happened before.
struct view {
  std::array<std::uint16_t, max_locations> seen{};  // the oldest store that may still be read
  clock happened{};

  void take_over(const view& other) {
    for (std::size_t id = 0; id < max_locations; ++id) {
      seen[id] = std::max(seen[id], other.seen[id]);
    }
    join(happened, other.happened);
  }
};

struct stored {
  std::uint64_t value = 0;
  view carried;  // what an acquire load of this store takes over
};

using location = std::vector<stored>;  // its stores, in order

struct site {
  const char* file;
  std::uint32_t line;
};

struct thread_state {
  view now;
  view acquirable;  // carried by relaxed loads, for a later fence
  view released;    // as of the last fence, for later relaxed stores
  bool ended = false;
  bool parked = false;
  bool waiting = false;  // for a store of another thread: see yield
};

struct choice {
  std::uint32_t taken;
  std::uint32_t count;
};

bool acquires(order how) {
  return how == order::acquire || how == order::acq_rel || how == order::seq_cst;
}
bool releases(order how) {
  return how == order::release || how == order::acq_rel || how == order::seq_cst;
}

std::string_view file_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

/// One exploration: the choices made so far, and the execution that is under way.
class exploration {
 public:
  exploration(const bounds& limits, const weakened_site& seeded, bool without_membarrier)
      : limits_(limits),
        seeded_(seeded),
        without_membarrier_(without_membarrier),
        random_(limits.seed) {}

  outcome run(const program_factory& make);
  void execute(const program_factory& make, outcome& result);
  void preset(std::vector<choice> choices) { choices_ = std::move(choices); }
  [[nodiscard]] bool next();

  // Operations of the thread that runs now.
  std::uint64_t load(location_id& id, order how, const std::source_location& where);
  void store(location_id& id, std::uint64_t value, order how, const std::source_location& where);
  std::uint64_t update_last(location_id& id, order success, order failure, change_ref apply,
                            const std::source_location& where);
  void fence_of(thread_state& thread);
  void fence() {
    scheduling_point();
    fence_of(threads_[running_]);
  }
  void membarrier();
  void scheduling_point();
  void yield() {
    threads_[running_].waiting = running_ != outside;
    scheduling_point();
  }
  void wake_waiting();
  void fail(const char* what);

  [[nodiscard]] std::uint64_t last_value(location_id id) const {
    return id == 0 ? 0 : locations_[id].back().value;
  }
  unsigned running() const { return running_; }
  clock& happened() { return threads_[running_].now.happened; }

 private:
  struct fiber_context {
    exploration* self;
    unsigned number;
  };
  static void fiber_main(void* argument);
  void start_fibers();
  void run_threads();
  void check_at_end();
  static void check_main(void* argument);
  [[nodiscard]] std::uint32_t choose(std::uint32_t count);
  [[nodiscard]] std::uint32_t choose(std::uint32_t count, std::uint32_t preferred);
  [[nodiscard]] unsigned pick_thread();
  void deal_priorities();
  [[nodiscard]] std::uint32_t most_urgent(std::span<const unsigned> options);
  location& at(location_id& id);
  order effective(order how, const std::source_location& where);
  [[nodiscard]] std::string choice_text() const;

  bounds limits_;
  weakened_site seeded_;
  bool without_membarrier_;
  std::mt19937_64 random_;
  std::vector<site> sites_;

  std::vector<choice> choices_;
  std::size_t depth_ = 0;

  std::array<location, max_locations> locations_;  // keep their memory between executions
  std::size_t location_count_ = 1;
  std::array<thread_state, max_threads + 1> threads_;
  view common_;                                // of seq_cst operations
  std::array<fiber, max_threads + 1> fibers_;  // the last: the final check
  std::array<fiber_context, max_threads + 1> contexts_;
  bool checking_ = false;
  std::unique_ptr<program> program_;
  std::string violation_;
  unsigned running_ = outside;
  unsigned preemptions_ = 0;
  unsigned stale_ = 0;
  unsigned steps_ = 0;
  unsigned last_steps_ = 1;  // of the execution before
  std::array<unsigned, max_threads> priorities_{};
  std::vector<unsigned> change_steps_;
  unsigned parked_ = max_threads;
};

exploration* active = nullptr;

outcome exploration::run(const program_factory& make) {
  outcome result;
  do {
    execute(make, result);
  } while (result.violation.empty() && result.executions < limits_.executions && next());
  result.complete = result.violation.empty() && limits_.random == 0 && choices_.empty();
  for (const site& one : sites_) {
    result.ordered_sites.emplace_back(file_part(one.file), one.line);
  }
  return result;
}

void exploration::execute(const program_factory& make, outcome& result) {
  active = this;
  depth_ = 0;
  location_count_ = 1;  // id 0: not yet made
  threads_ = {};
  common_ = {};
  violation_.clear();
  preemptions_ = stale_ = steps_ = 0;
  parked_ = max_threads;
  running_ = outside;
  ++threads_[outside].now.happened[outside];
  program_ = make();
  run_threads();
  running_ = outside;
  for (unsigned i = 0; i < program_->thread_count(); ++i) {
    threads_[outside].now.take_over(threads_[i].now);
  }
  if (violation_.empty()) {
    check_at_end();
  }
  ++result.executions;
  result.violation = violation_;
  result.choices = violation_.empty() ? std::string() : choice_text();
  program_.reset();
  active = nullptr;
}

/// Goes to the next execution in depth-first order; false when there is none.
bool exploration::next() {
  if (limits_.random != 0) {
    choices_.clear();
    return --limits_.random != 0;
  }
  choices_.resize(depth_);
  while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().count) {
    choices_.pop_back();
  }
  if (choices_.empty()) {
    return false;
  }
  ++choices_.back().taken;
  return true;
}

std::uint32_t exploration::choose(std::uint32_t count) {
  if (count == 1) {
    return 0;
  }
  const std::uint32_t any =
      limits_.random == 0 ? 0 : static_cast<std::uint32_t>(random_() % (count * 4));
  return choose(count, any < count ? any : 0);  // random: mostly the plain choice
}

/// The next choice of those that were made before; where there is none, `preferred` becomes one.
std::uint32_t exploration::choose(std::uint32_t count, std::uint32_t preferred) {
  if (depth_ == choices_.size()) {
    choices_.push_back({preferred, count});
  }
  return std::min(choices_[depth_++].taken, count - 1);
}

void exploration::deal_priorities() {
  const unsigned changes = limits_.priority_changes;
  for (unsigned i = 0; i < max_threads; ++i) {
    priorities_[i] = changes + i;  // above those that change
  }
  std::shuffle(priorities_.begin(), priorities_.end(), random_);
  change_steps_.resize(changes);
  for (unsigned& step : change_steps_) {
    step = static_cast<unsigned>(random_() % last_steps_);
  }
}

/// The place in `options` of the thread with the highest priority.
std::uint32_t exploration::most_urgent(std::span<const unsigned> options) {
  for (unsigned i = 0; i < change_steps_.size(); ++i) {
    if (change_steps_[i] == steps_ && running_ != outside) {
      priorities_[running_] = i;
    }
  }
  const auto first = std::max_element(options.begin(), options.end(), [&](unsigned a, unsigned b) {
    return priorities_[a] < priorities_[b];
  });
  return static_cast<std::uint32_t>(first - options.begin());
}

std::string exploration::choice_text() const {
  std::ostringstream text;
  for (std::size_t i = 0; i < depth_; ++i) {
    text << (i == 0 ? "" : ",") << choices_[i].taken << '/' << choices_[i].count;
  }
  return text.str();
}

// ---- Threads ------------------------------------------------------------------------------------

void exploration::fiber_main(void* argument) {
  const fiber_context context = *static_cast<fiber_context*>(argument);
  exploration& self = *context.self;
  self.program_->run_thread(context.number);
  self.threads_[context.number].ended = true;
  for (;;) {
    self.fibers_[context.number].suspend();
  }
}

void exploration::run_threads() {
  const unsigned count = program_->thread_count();
  for (unsigned i = 0; i < count; ++i) {
    contexts_[i] = {this, i};
    fibers_[i].start(&fiber_main, &contexts_[i]);
    threads_[i].now = threads_[outside].now;
    ++threads_[i].now.happened[i];
  }
  for (unsigned i = count; i < max_threads; ++i) {
    threads_[i].ended = true;
  }
  running_ = outside;
  deal_priorities();
  while (violation_.empty()) {
    const unsigned next = pick_thread();
    if (next == outside) {
      break;
    }
    running_ = next;
    fibers_[next].resume();
  }
}

/// On a fiber of its own, which is left where it is when it does not come to an end.
void exploration::check_at_end() {
  contexts_[outside] = {this, outside};
  fibers_[outside].start(&check_main, &contexts_[outside]);
  last_steps_ = std::max(steps_, 1U);
  steps_ = 0;
  checking_ = true;
  fibers_[outside].resume();
  checking_ = false;
}

void exploration::check_main(void* argument) {
  exploration& self = *static_cast<fiber_context*>(argument)->self;
  self.program_->check_at_end(self.parked_);
  for (;;) {
    self.fibers_[outside].suspend();
  }
}

/// Who runs next: the thread that ran, if it can, for nothing; another for one preemption; and
/// once, the thread that ran may stop for ever.
unsigned exploration::pick_thread() {
  std::array<unsigned, max_threads + 1> options{};
  std::uint32_t count = 0;
  const auto live = [&](unsigned i) { return !threads_[i].ended && !threads_[i].parked; };
  const auto runnable = [&](unsigned i) { return live(i) && !threads_[i].waiting; };
  unsigned runnable_count = 0;
  for (unsigned i = 0; i < max_threads; ++i) {
    runnable_count += runnable(i) ? 1U : 0U;
  }
  if (runnable_count == 0) {
    wake_waiting();  // each may have missed the store that it waits for
  }
  const bool can_go_on = running_ != outside && runnable(running_);
  if (can_go_on) {
    options[count++] = running_;
  }
  if (!can_go_on || preemptions_ < limits_.preemptions) {
    for (unsigned i = 0; i < max_threads; ++i) {
      if (i != running_ && runnable(i)) {
        options[count++] = i;
      }
    }
  }
  const bool may_park = can_go_on && limits_.park && parked_ == max_threads;
  if (count == 0) {
    return outside;
  }
  const bool by_priority = limits_.random != 0 && limits_.priority_changes != 0;
  const std::uint32_t chosen = by_priority ? choose(count, most_urgent({options.data(), count}))
                                           : choose(count + (may_park ? 1 : 0));
  if (chosen == count) {
    threads_[running_].parked = true;
    parked_ = running_;
    return pick_thread();
  }
  preemptions_ += can_go_on && options[chosen] != running_ ? 1U : 0U;
  return options[chosen];
}

/// Those who wait for a store look again.
void exploration::wake_waiting() {
  for (thread_state& thread : threads_) {
    thread.waiting = false;
  }
}

void exploration::scheduling_point() {
  const bool alone = running_ == outside;  // set-up and final check: nobody else runs
  if ((!alone || checking_) && ++steps_ > limits_.steps) {
    fail("a thread does not come to an end: blocked, or livelock");
  }
  if (!alone) {
    fibers_[running_].suspend();
  }
}

/// On a fiber: does not return.
void exploration::fail(const char* what) {
  if (violation_.empty()) {
    violation_ = what;
  }
  if (running_ != outside || checking_) {
    for (;;) {
      fibers_[running_].suspend();
    }
  }
}

// ---- Memory -------------------------------------------------------------------------------------

location& exploration::at(location_id& id) {
  if (id == 0) {
    if (location_count_ == max_locations) {
      std::abort();  // a program larger than this checker is made for
    }
    id = static_cast<location_id>(location_count_++);
    locations_[id].assign(1, stored{});
  }
  return locations_[id];
}

order exploration::effective(order how, const std::source_location& where) {
  if (how == order::relaxed) {
    return how;
  }
  const bool known = std::any_of(sites_.begin(), sites_.end(), [&](const site& one) {
    return one.line == where.line() && one.file == where.file_name();
  });
  if (!known) {
    sites_.push_back({where.file_name(), where.line()});
  }
  const bool weakened =
      seeded_.line == where.line() && seeded_.file == file_part(where.file_name());
  return weakened ? order::relaxed : how;
}

std::uint64_t exploration::load(location_id& id, order how, const std::source_location& where) {
  scheduling_point();
  location& place = at(id);
  how = effective(how, where);
  thread_state& thread = threads_[running_];
  std::uint16_t oldest = thread.now.seen[id];
  if (how == order::seq_cst) {
    oldest = std::max(oldest, common_.seen[id]);
  }
  const auto last = static_cast<std::uint16_t>(place.size() - 1);
  const bool may_be_stale = running_ != outside && stale_ < limits_.stale_loads;
  const auto back = static_cast<std::uint16_t>(
      may_be_stale ? choose(static_cast<std::uint32_t>(last - oldest) + 1) : 0);
  stale_ += back != 0 ? 1U : 0U;
  const stored& read = place[last - back];
  thread.now.seen[id] = static_cast<std::uint16_t>(last - back);
  if (acquires(how)) {
    thread.now.take_over(read.carried);
  } else {
    thread.acquirable.take_over(read.carried);
  }
  return read.value;
}

void exploration::store(location_id& id, std::uint64_t value, order how,
                        const std::source_location& where) {
  scheduling_point();
  at(id);
  how = effective(how, where);
  thread_state& thread = threads_[running_];
  ++thread.now.happened[running_];
  const auto index = static_cast<std::uint16_t>(locations_[id].size());
  thread.now.seen[id] = index;
  stored next{value, releases(how) ? thread.now : thread.released};
  next.carried.seen[id] = index;
  locations_[id].push_back(std::move(next));
  wake_waiting();
  if (how == order::seq_cst) {
    common_.seen[id] = index;
  }
}

std::uint64_t exploration::update_last(location_id& id, order success, order failure,
                                       change_ref apply, const std::source_location& where) {
  scheduling_point();
  at(id);
  thread_state& thread = threads_[running_];
  const stored last = locations_[id].back();
  const update next = apply(last.value);
  const order how = effective(next.write ? success : failure, where);
  auto index = static_cast<std::uint16_t>(locations_[id].size() - 1);
  thread.now.seen[id] = index;
  if (acquires(how)) {
    thread.now.take_over(last.carried);
  } else {
    thread.acquirable.take_over(last.carried);
  }
  if (next.write) {
    ++thread.now.happened[running_];
    thread.now.seen[id] = ++index;
    stored made{next.value, releases(how) ? thread.now : thread.released};
    made.carried.take_over(last.carried);  // a read-modify-write continues the release sequence
    made.carried.seen[id] = index;
    locations_[id].push_back(std::move(made));
    wake_waiting();
    if (how == order::seq_cst) {
      common_.seen[id] = index;
    }
  }
  return last.value;
}

void exploration::fence_of(thread_state& thread) {
  thread.now.take_over(thread.acquirable);
  view only_seen = thread.now;
  only_seen.happened = {};
  common_.take_over(only_seen);
  thread.now.take_over(common_);
  thread.released = thread.now;
}

void exploration::membarrier() {
  scheduling_point();
  if (without_membarrier_) {
    return;
  }
  fence_of(threads_[running_]);
  for (thread_state& thread : threads_) {
    fence_of(thread);
  }
  fence_of(threads_[running_]);
}

}  // namespace

void require(bool holds, const char* what) {
  if (!holds) {
    active->fail(what);
  }
}

outcome explore(const program_factory& make, const bounds& limits, const weakened_site& seeded,
                bool without_membarrier) {
  return exploration(limits, seeded, without_membarrier).run(make);
}

outcome replay(const program_factory& make, const bounds& limits, const std::string& choices,
               const weakened_site& seeded, bool without_membarrier) {
  std::vector<choice> list;
  std::istringstream text(choices);
  choice one{};
  char slash = 0;
  while (text >> one.taken >> slash >> one.count) {
    list.push_back(one);
    text >> slash;
  }
  exploration run(limits, seeded, without_membarrier);
  run.preset(std::move(list));
  outcome result;
  run.execute(make, result);
  return result;
}

std::uint64_t load(location_id& id, order how, const std::source_location& where) {
  return active->load(id, how, where);
}
void store(location_id& id, std::uint64_t value, order how, const std::source_location& where) {
  active->store(id, value, how, where);
}
std::uint64_t read_modify_write(location_id& id, order success, order failure, change_ref apply,
                                const std::source_location& where) {
  return active->update_last(id, success, failure, apply, where);
}
std::uint64_t peek(location_id id) { return active->last_value(id); }
void full_fence() { active->fence(); }
void membarrier() { active->membarrier(); }
unsigned current_thread() { return active->running(); }
std::uint32_t known_events_of(unsigned thread) { return active->happened()[thread]; }
std::uint32_t new_event() { return ++active->happened()[active->running()]; }
void step() { active->scheduling_point(); }
void yield() { active->yield(); }

void payload::check(const clock& last, const char* what) const {
  const auto& now = active->happened();
  for (unsigned i = 0; i < last.size(); ++i) {
    require(last[i] <= now[i], what);
  }
}

void payload::write(std::uint64_t value) {
  check(writes_, "data race: two writes of one buffer");
  check(reads_, "data race: a write after an unordered read");
  writes_[active->running()] = active->happened()[active->running()];
  value_ = value;
}

std::uint64_t payload::read() {
  check(writes_, "data race: a read after an unordered write");
  reads_[active->running()] = active->happened()[active->running()];
  return value_;
}

}  // namespace ringpool::model

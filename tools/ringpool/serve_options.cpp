// SPDX-License-Identifier: MIT
#include "serve_options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>

#include "listener.hpp"
#include "number_range.hpp"
#include "serve.hpp"

namespace ringpool::tools {
namespace {

constexpr unsigned most_loops = 256;
constexpr int last_numa_node = 1023;

bool parse_number(std::string_view text, std::size_t& out) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && stop == text.data() + text.size();
}

size_class parse_class(const std::string& text) {
  const std::size_t colon = text.find(':');
  size_class result{};
  if (colon == std::string::npos ||
      !parse_number(std::string_view(text).substr(0, colon), result.buffer_size) ||
      !parse_number(std::string_view(text).substr(colon + 1), result.capacity)) {
    throw CLI::ValidationError("--class", "'" + text + "' is not SIZE:COUNT, such as 1024:2048");
  }
  return result;
}

void parse_classes(const std::vector<std::string>& texts, std::vector<size_class>& out) {
  out.clear();
  for (const std::string& text : texts) {
    out.push_back(parse_class(text));
  }
}

void add_time(CLI::App& app, const std::string& name, std::chrono::milliseconds& value,
              const std::string& meaning) {
  app.add_option_function<double>(
         name,
         [&value](double seconds) {
           value = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000.0 + 0.5));
         },
         meaning)
      ->check(number_range(0.0, 86400.0))
      ->type_name("SECONDS")
      ->default_str(fmt::format("{:g}", static_cast<double>(value.count()) / 1000.0));
}

/// An option with one of a few words. (A transformer would print the values too, as characters.)
template <class Value>
void add_choice(CLI::App& serve, const std::string& name, Value& value,
                const std::map<std::string, Value>& words, const std::string& standard,
                const std::string& meaning) {
  serve
      .add_option_function<std::string>(
          name, [&value, words](const std::string& word) { value = words.at(word); }, meaning)
      ->check(CLI::IsMember(words))
      ->default_str(standard);
}

void add_buffer_options(CLI::App& serve, serve_options& options) {
  add_choice<buffer_kind>(serve, "--buffers", options.buffers,
                          {{"pool", buffer_kind::pool}, {"malloc", buffer_kind::malloc}}, "pool",
                          "Payloads live in ringpool's buffers or malloc's");
  serve
      .add_option_function<std::vector<std::string>>(
          "--class",
          [&options](const std::vector<std::string>& texts) {
            parse_classes(texts, options.classes);
          },
          "A size class, in bytes and buffers (a power of two); repeatable")
      ->type_name("SIZE:COUNT")
      ->default_str("64:8192 256:4096 1024:2048 4096:1024 16384:256");
  add_choice<zeroing>(serve, "--zero-on-free", options.zero_on_free,
                      {{"none", zeroing::none}, {"used", zeroing::used}, {"all", zeroing::all}},
                      "none", "What to zero in a buffer given back");
  serve.add_flag("--hardened", options.hardened, "Catch more kinds of misuse, more slowly");
  serve.add_option("--elastic", options.elastic_count, "Further buffers a class, made when needed")
      ->type_name("COUNT")
      ->capture_default_str();
  serve
      .add_option("--elastic-floor", options.elastic_floor,
                  "Of those, how many keep their memory when they are idle")
      ->type_name("COUNT")
      ->capture_default_str();
  serve
      .add_option("--spill-classes", options.spill.class_count,
                  "Larger classes to ask when a class has no buffer left")
      ->type_name("COUNT")
      ->check(CLI::Range(std::size_t{0}, max_class_count - 1))
      ->capture_default_str();
  serve
      .add_option("--spill-limit", options.spill.buffer_limit,
                  "Most buffers of a class that smaller ones may hold so")
      ->type_name("COUNT")
      ->check(CLI::Range(std::size_t{0}, max_capacity))
      ->capture_default_str();
  serve
      .add_option(
          "--sample-interval", options.sampling.interval,
          "Know of one in so many allocations who holds it; 0: of none; 128 is a good choice")
      ->type_name("COUNT")
      ->check(CLI::Range(std::size_t{0}, max_sample_interval))
      ->capture_default_str();
  serve
      .add_option("--sample-depth", options.sampling.depth,
                  "Frames of the stack that are known of these")
      ->type_name("COUNT")
      ->check(CLI::Range(std::size_t{1}, max_sample_depth))
      ->capture_default_str();
  add_time(serve, "--elastic-decay", options.elastic_decay,
           "Give the memory of further buffers back once they are idle for this long");
  serve
      .add_option("--upstream-budget", options.upstream_budget_bytes,
                  "Bytes the pool may take from the heap when all buffers are held")
      ->type_name("BYTES")
      ->capture_default_str();
}

void add_memory_options(CLI::App& serve, serve_options& options) {
  memory_options& memory = options.memory;
  serve.add_flag("--prefault,!--no-prefault", memory.prefault,
                 "Make buffers resident at the start, which is the default");
  add_choice<huge_pages>(serve, "--huge-pages", memory.pages,
                         {{"none", huge_pages::none},
                          {"transparent", huge_pages::transparent},
                          {"reserved", huge_pages::reserved}},
                         "none", "Pages behind the buffers");
  serve.add_option("--numa-node", memory.numa_node, "Bind buffers to this node; -1: to none")
      ->type_name("NODE")
      ->check(CLI::Range(-1, last_numa_node))
      ->capture_default_str();
  serve.add_flag("--lock-memory", memory.lock, "Keep buffers from being swapped out");
  serve
      .add_option("--cache-limit", options.cache_limit,
                  "Most buffers of a class a thread may cache")
      ->type_name("COUNT")
      ->check(CLI::Range(std::size_t{0}, std::size_t{index_cache::max_items}))
      ->capture_default_str();
}

void add_file_options(CLI::App& serve, serve_options& options) {
  serve.add_option("--config", options.config, "Read options from a file in TOML; SIGHUP: again")
      ->type_name("FILE");
  serve
      .add_option("--check-config", options.check_config,
                  "Print what a file comes to, or all that is wrong with it, and end")
      ->type_name("FILE");
  serve.add_option("--preset", options.preset, "Begin with the options made for a kind of traffic")
      ->type_name("NAME");
  serve.add_option("--print-preset", options.print_preset, "Print a preset, and end")
      ->type_name("NAME");
}

void add_backend_options(CLI::App& serve, serve_options& options) {
  add_choice<backend_kind>(serve, "--backend", options.backend,
                           {{"epoll", backend_kind::epoll}, {"uring", backend_kind::uring}},
                           "epoll", "How it waits; uring: io_uring, for very many connections");
  serve.add_option("--loops", options.loops, "Event loops, one thread each; 0: one a processor")
      ->check(CLI::Range(0U, most_loops))
      ->capture_default_str();
  serve.add_flag("--pin", options.pin, "Bind each loop to a processor of its own");
  serve
      .add_option(
          "--receive-bytes", options.receive_bytes,
          "io_uring: bytes of a buffer that the kernel fills; 0: 4096, or the largest class")
      ->type_name("BYTES")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1} << 20))
      ->capture_default_str();
  serve
      .add_option("--receive-buffers", options.receive_buffers,
                  "io_uring: most buffers offered to the kernel, a ring; a power of two")
      ->type_name("COUNT")
      ->check(CLI::Range(1U, 32768U))
      ->capture_default_str();
  add_choice<idle_mode>(serve, "--idle-mode", options.idle,
                        {{"receive", idle_mode::receive}, {"poll", idle_mode::poll}}, "receive",
                        "io_uring: what waits for an idle connection; poll: less kernel memory");
}

void add_room_options(CLI::App& serve, serve_options& options) {
  add_choice<server_mode>(
      serve, "--mode", options.mode, {{"echo", server_mode::echo}, {"room", server_mode::room}},
      "echo",
      "room: the first frame names a room, each further one goes to all in there (io_uring)");
  add_choice<slow_policy>(serve, "--slow-member", options.slow,
                          {{"close", slow_policy::close}, {"skip", slow_policy::skip}}, "close",
                          "What happens to a member whose queue is full: closed, or not served");
  serve.add_flag("--room-copies", options.room_copies,
                 "A copy for each member instead of one shared buffer, to compare with");
}

void add_limit_options(CLI::App& serve, serve_options& options) {
  serve.add_option("--max-frame", options.max_frame_bytes, "Largest payload accepted")
      ->type_name("BYTES")
      ->check(CLI::Range(1U, max_frame_limit_bytes))
      ->capture_default_str();
  serve
      .add_option("--send-queue-bytes", options.send_queue_bytes,
                  "Buffers one connection may hold for its peer to read, before it is not read")
      ->type_name("BYTES")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 30))
      ->capture_default_str();
  serve
      .add_option("--connection-budget", options.connection_budget_bytes,
                  "Bytes of buffers one connection may hold in all; 0: no limit")
      ->type_name("BYTES")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1} << 40))
      ->capture_default_str();
  serve
      .add_option("--room-budget", options.room_budget_bytes,
                  "Bytes of frames that may wait for the members of one room; 0: no limit")
      ->type_name("BYTES")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1} << 40))
      ->capture_default_str();
  add_choice<shed_policy>(serve, "--shed", options.shed,
                          {{"off", shed_policy::off}, {"largest", shed_policy::largest}}, "off",
                          "Who is closed while buffers are short: who holds far more than others");
  add_time(serve, "--send-timeout", options.send_timeout,
           "Close a connection whose peer reads nothing for this long; 0: never");
  add_time(serve, "--frame-timeout", options.frame_timeout,
           "Close a connection that does not complete a frame in this time; 0: never");
  add_time(serve, "--idle-timeout", options.idle_timeout,
           "Close a connection with nothing in flight for this long; 0: never");
  add_time(serve, "--drain-timeout", options.drain_timeout,
           "At shutdown, let frames in flight finish for this long");
}

void add_record_options(CLI::App& serve, serve_options& options) {
  serve
      .add_option("--record", options.record_file,
                  "Write sizes and times of a sample of the frames here, to be advised from")
      ->type_name("FILE");
  serve.add_option("--record-limit", options.record_limit_bytes, "Most bytes of that file")
      ->type_name("BYTES")
      ->check(CLI::Range(std::uint64_t{4096}, std::uint64_t{1} << 40))
      ->capture_default_str();
  serve.add_option("--record-one-in", options.record_one_in, "How many frames one is recorded of")
      ->type_name("COUNT")
      ->check(CLI::Range(1U, 1'000'000U))
      ->capture_default_str();
}

std::size_t largest_class(const serve_options& options) noexcept {
  std::size_t largest = 0;
  for (const size_class& one : options.classes) {
    largest = std::max(largest, one.buffer_size);
  }
  return largest;
}

/// What each class has is within what the pool can do.
std::string find_pool_fault(const serve_options& options) {
  bool lends = options.spill.buffer_limit != 0;
  for (const size_class& one : options.classes) {
    const std::size_t most = one.settings.elastic_capacity.value_or(options.elastic_count);
    const std::size_t floor = one.settings.elastic_floor.value_or(options.elastic_floor);
    if (floor > most) {
      return fmt::format("--elastic-floor {} is above --elastic {} of the --class of {} bytes",
                         floor, most, one.buffer_size);
    }
    lends = lends || one.settings.spill_limit.value_or(0) != 0;
  }
  return options.spill.class_count != 0 && !lends ? "--spill-classes needs a --spill-limit above 0"
                                                  : "";
}

std::size_t capacity_of_largest(const serve_options& options) noexcept {
  const std::size_t largest = largest_class(options);
  for (const size_class& one : options.classes) {
    if (one.buffer_size == largest) {
      return one.capacity + one.settings.elastic_capacity.value_or(options.elastic_count);
    }
  }
  return 0;
}

/// A frame always fits into the budget of a connection that holds nothing else.
std::string find_budget_fault(const serve_options& options) {
  const std::size_t piece = piece_bytes_of(options);
  std::size_t needed = options.max_frame_bytes;
  if (piece != 0) {
    needed = (needed + piece - 1) / piece * piece;
  } else if (options.buffers == buffer_kind::pool) {
    std::size_t smallest = largest_class(options);
    for (const size_class& one : options.classes) {
      smallest = one.buffer_size >= needed ? std::min(smallest, one.buffer_size) : smallest;
    }
    needed = std::max(needed, smallest);
  }
  if (options.connection_budget_bytes != 0 && options.connection_budget_bytes < needed) {
    return fmt::format(
        "--connection-budget {} cannot hold one frame of --max-frame {}, which takes {} bytes of "
        "buffers",
        options.connection_budget_bytes, options.max_frame_bytes, needed);
  }
  if (options.room_budget_bytes != 0 && options.mode != server_mode::room) {
    return "--room-budget needs --mode room";
  }
  return {};
}

/// Frames of every size up to the maximum must have somewhere to go.
std::string find_class_fault(const serve_options& options) {
  const std::size_t largest = largest_class(options);
  const std::size_t all = capacity_of_largest(options) * largest;
  if (piece_bytes_of(options) != 0) {
    return all >= options.max_frame_bytes
               ? ""
               : fmt::format(
                     "--max-frame {} is above all buffers of the largest --class together, {} of "
                     "{} bytes: add buffers, or a larger class, or lower --max-frame",
                     options.max_frame_bytes, capacity_of_largest(options), largest);
  }
  if (options.upstream_budget_bytes == 0 && largest < options.max_frame_bytes) {
    return fmt::format(
        "--max-frame {} is above the largest --class, {} bytes: add a class of {} bytes or more, "
        "lower --max-frame, set --upstream-budget, or take --backend epoll, which keeps such "
        "frames "
        "in pieces",
        options.max_frame_bytes, largest, options.max_frame_bytes);
  }
  if (options.upstream_budget_bytes != 0 && largest < options.max_frame_bytes &&
      options.upstream_budget_bytes < options.max_frame_bytes) {
    return fmt::format("--upstream-budget {} cannot hold one frame of --max-frame {}",
                       options.upstream_budget_bytes, options.max_frame_bytes);
  }
  return {};
}

/// io_uring fills buffers of the pool, and rooms share them.
std::string find_backend_fault(const serve_options& options) {
  if (options.backend == backend_kind::epoll) {
    return options.mode == server_mode::room ? "--mode room needs --backend uring" : "";
  }
  if (const std::size_t largest = largest_class(options); largest < options.receive_bytes) {
    return fmt::format("--receive-bytes {} is above the largest --class, {} bytes",
                       options.receive_bytes, largest);
  }
  if (options.buffers == buffer_kind::malloc) {
    return "--backend uring needs --buffers pool: the kernel fills its buffers";
  }
  if ((options.receive_buffers & (options.receive_buffers - 1)) != 0) {
    return fmt::format("--receive-buffers {} is not a power of two", options.receive_buffers);
  }
  return {};
}

}  // namespace

void add_serve_command(CLI::App& app, serve_options& options) {
  CLI::App* const serve =
      app.add_subcommand("serve", "Echo frames over TCP, until SIGINT or SIGTERM");
  serve->add_option("--listen", options.listen, "Where to listen; port 0: any free one")
      ->type_name("ADDR:PORT")
      ->capture_default_str();
  add_file_options(*serve, options);
  add_backend_options(*serve, options);
  add_room_options(*serve, options);
  add_buffer_options(*serve, options);
  add_memory_options(*serve, options);
  add_limit_options(*serve, options);
  add_record_options(*serve, options);
  serve->add_option("--port-file", options.port_file, "Write ADDR:PORT here once it is ready")
      ->type_name("FILE");
  serve
      ->add_option("--stats-file", options.stats_file,
                   "Write statistics here as JSON, at SIGUSR1 and at the end")
      ->type_name("FILE");
  serve
      ->add_option("--metrics", options.metrics_listen,
                   "Answer HTTP here: /metrics, /stats.json, /healthz and a live page; port 0: any")
      ->type_name("ADDR:PORT");
  serve
      ->add_option("--metrics-port-file", options.metrics_port_file,
                   "Write the ADDR:PORT of --metrics here once it is ready")
      ->type_name("FILE");
}

void apply_arguments(const std::vector<std::string>& arguments, serve_options& options) {
  CLI::App app;
  add_serve_command(app, options);
  app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // as CLI11 takes them
}

std::size_t receive_bytes_of(const serve_options& options) noexcept {
  constexpr std::size_t usual = 4096;
  return options.receive_bytes != 0 ? options.receive_bytes
                                    : std::min(usual, largest_class(options));
}

std::size_t piece_bytes_of(const serve_options& options) noexcept {
  const std::size_t largest = largest_class(options);
  const bool needed = options.backend == backend_kind::epoll &&
                      options.buffers == buffer_kind::pool && options.upstream_budget_bytes == 0 &&
                      largest < options.max_frame_bytes;
  return needed ? largest : 0;
}

std::string find_fault(const serve_options& options) {
  endpoint where;
  if (!endpoint::parse(options.listen, where)) {
    return fmt::format(
        "--listen '{}' is not a numeric ADDR:PORT, such as 127.0.0.1:9000 or [::1]:0",
        options.listen);
  }
  if (!options.metrics_listen.empty() && !endpoint::parse(options.metrics_listen, where)) {
    return fmt::format(
        "--metrics '{}' is not a numeric ADDR:PORT, such as 127.0.0.1:9100 or [::1]:0",
        options.metrics_listen);
  }
  if (!options.metrics_port_file.empty() && options.metrics_listen.empty()) {
    return "--metrics-port-file needs --metrics";
  }
  if (std::string fault = find_backend_fault(options); !fault.empty()) {
    return fault;
  }
  if (std::string fault = find_budget_fault(options); !fault.empty()) {
    return fault;
  }
  if (options.buffers == buffer_kind::malloc) {
    return {};
  }
  if (options.classes.empty()) {
    return "no --class was given";
  }
  std::string fault = find_pool_fault(options);
  return fault.empty() ? find_class_fault(options) : fault;
}

}  // namespace ringpool::tools

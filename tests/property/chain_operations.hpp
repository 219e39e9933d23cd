// SPDX-License-Identifier: MIT
#pragma once

// Random operations on a few chains, which share buffers, and on vectors of bytes beside them. The
// pool is small: what is refused must have changed nothing. Chains with a seeded bug stand below.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ringpool/buffer_chain.hpp"
#include "ringpool/chain_cursor.hpp"

namespace ringpool::test {

using words = std::vector<std::uint32_t>;

/// Chain is buffer_chain, or one with a seeded bug.
template <class Chain>
class chains_against_vectors {
 public:
  /// The first thing that was wrong, or "".
  std::string run(const words& operations) {
    for (const std::uint32_t word : operations) {
      if (entries_.empty()) {
        entries_.emplace_back();
      }
      do_one(word % 20, word / 20);
      look(word);
      if (!problem_.empty()) {
        break;
      }
    }
    entries_.clear();
    kept_.clear();
    for (const ring_buffer_pool& one : pool().classes()) {
      must(one.stats().in_use == 0, "a buffer was lost");
    }
    return problem_;
  }
  /// How often a call found no buffer or no block, and how long the longest chain was.
  [[nodiscard]] std::size_t refusals() const { return refusals_; }
  [[nodiscard]] std::size_t most_pieces() const { return most_pieces_; }

 private:
  using bytes = std::vector<std::byte>;
  struct entry {
    Chain chain{};
    bytes model{};
  };
  struct kept_buffer {
    shared_buffer shown;
    bytes model;
  };

  /// Of all runs: making one takes far longer than a run.
  static multi_size_ring_pool& pool() {
    static multi_size_ring_pool all({{64, 16}, {256, 8}, {512, 8}, {1024, 2}},
                                    {.upstream = nullptr});
    return all;
  }

  void must(bool condition, const char* what) {
    if (!condition && problem_.empty()) {
      problem_ = what;
    }
  }
  /// Whether `done`; false may only be where the pool refused.
  bool served(bool done) {
    refusals_ += done ? 0 : 1;
    return done;
  }

  bytes some_bytes(std::size_t count) {
    bytes made(count);
    for (std::byte& one : made) {
      one = static_cast<std::byte>(next_byte_ = next_byte_ * 5 + 3);
      next_byte_ ^= next_byte_ >> 7;
    }
    return made;
  }
  static void put(bytes& into, std::size_t at, const bytes& what) {
    into.insert(into.begin() + static_cast<std::ptrdiff_t>(at), what.begin(), what.end());
  }

  void do_one(std::uint32_t what, std::uint32_t rest) {
    entry& one = entries_[rest % entries_.size()];
    const std::size_t other = rest / 7 % entries_.size();
    const std::size_t count = rest / 64 % 150;
    const std::size_t place = one.model.empty() ? 0 : rest / 64 % (one.model.size() + 1);
    switch (what) {
      case 0: return start(alloc_with_headroom(pool(), rest % 50, count), count);
      case 1: return start(alloc_chain(pool(), count * 12, rest % 20), count * 12);
      case 2: return keep(count + 1);
      case 3:
      case 4: return add_bytes(one, count, true);
      case 5:
      case 6: return add_bytes(one, count % 30, false);
      case 7:
      case 8:
      case 9: return add_slice(one, rest, true);
      case 10: return add_slice(one, rest, false);
      case 11: return add_chain(one, entries_[other], true);
      case 12: return add_chain(one, entries_[other], false);
      case 13: return split(one, place);
      case 14: return share(one);
      case 15: return trim(one, count, true);
      case 16: return trim(one, count, false);
      case 17: return gather(one, rest / 64);
      case 18: return overwrite(one, place, rest % 40);
      default: return forget(rest / 64 % 3);
    }
  }

  void start(buffer_chain made, std::size_t count) {
    if (!served(static_cast<bool>(made) || count == 0) || entries_.size() > 5) {
      return;
    }
    entry added;
    added.model = some_bytes(count);
    must(made.size() == count, "a new chain of another size");
    must(chain_writer(made).write(added.model), "a new chain cannot be written");
    added.chain = Chain(std::move(made));
    entries_.push_back(std::move(added));
  }
  void keep(std::size_t count) {
    buffer memory = pool().try_alloc(count);
    if (served(static_cast<bool>(memory)) && kept_.size() < 6) {
      const bytes content = some_bytes(count);
      std::copy(content.begin(), content.end(), memory.data());
      kept_.push_back({shared_buffer(std::move(memory)), content});
    }
  }
  void add_bytes(entry& to, std::size_t count, bool behind) {
    const bytes content = some_bytes(count);
    if (served(behind ? to.chain.append_bytes(pool(), content)
                      : to.chain.prepend_bytes(pool(), content))) {
      put(to.model, behind ? to.model.size() : 0, content);
    }
  }
  void add_slice(entry& to, std::uint32_t rest, bool behind) {
    if (kept_.empty()) {
      return;
    }
    const kept_buffer& from = kept_[rest / 7 % kept_.size()];
    const std::size_t offset = rest / 64 % from.model.size();
    const std::size_t size = rest / 512 % (from.model.size() - offset + 1);
    shared_buffer piece = from.shown.slice(offset, size);
    const bool done =
        served(behind ? to.chain.append(std::move(piece)) : to.chain.prepend(std::move(piece)));
    must(static_cast<bool>(piece) != done, "a piece is lost, or in two places");
    if (done) {
      const auto first = from.model.begin() + static_cast<std::ptrdiff_t>(offset);
      put(to.model, behind ? to.model.size() : 0,
          bytes(first, first + static_cast<std::ptrdiff_t>(size)));
    }
  }
  void add_chain(entry& to, entry& from, bool behind) {
    if (served(behind ? to.chain.append(std::move(from.chain))
                      : to.chain.prepend(std::move(from.chain))) &&
        &to != &from) {
      put(to.model, behind ? to.model.size() : 0, from.model);
      from.model.clear();
    }
  }
  void split(entry& one, std::size_t place) {
    if (entries_.size() > 5) {
      return;
    }
    entry rest{Chain(one.chain.split(place)), {}};
    if (served(rest.chain || place == one.model.size())) {
      const auto cut = one.model.begin() + static_cast<std::ptrdiff_t>(place);
      rest.model.assign(cut, one.model.end());
      one.model.erase(cut, one.model.end());
      entries_.push_back(std::move(rest));
    }
  }
  void share(const entry& one) {
    entry copy{Chain(one.chain.share()), one.model};
    if (served(copy.chain || one.model.empty()) && entries_.size() <= 5) {
      entries_.push_back(std::move(copy));
    }
  }
  void trim(entry& one, std::size_t count, bool front) {
    const auto gone = static_cast<std::ptrdiff_t>(std::min(count, one.model.size()));
    if (front) {
      one.chain.trim_front(count);
      one.model.erase(one.model.begin(), one.model.begin() + gone);
    } else {
      one.chain.trim_back(count);
      one.model.erase(one.model.end() - gone, one.model.end());
    }
  }
  void gather(entry& one, std::uint32_t rest) {
    const std::size_t pinned = one.chain.pinned_bytes();
    if (rest % 4 != 0) {
      const std::size_t saved = one.chain.compact(pool(), rest / 4 % 200);
      must(one.chain.pinned_bytes() + saved == pinned, "compact saved another number of bytes");
    } else if (served(one.chain.coalesce(pool()))) {
      must(one.chain.piece_count() <= 1, "coalesced, and in pieces");
    }
  }
  void overwrite(entry& one, std::size_t place, std::size_t count) {
    const bytes content = some_bytes(std::min(count, one.model.size() - place));
    chain_writer writer(one.chain);
    must(writer.skip(place), "a writer cannot go where the chain is");
    if (writer.write(content)) {  // else it has other owners
      std::copy(content.begin(), content.end(),
                one.model.begin() + static_cast<std::ptrdiff_t>(place));
      must(writer.position() == place + content.size(), "a writer elsewhere");
    }
  }
  void forget(std::uint32_t what) {
    if (what == 0 && !kept_.empty()) {
      kept_.erase(kept_.begin());
    } else {
      entries_.erase(entries_.begin());
    }
  }

  void look(std::uint32_t word) {
    for (const entry& one : entries_) {
      look_at(one, word);
    }
    for (const kept_buffer& one : kept_) {
      must(std::equal(one.model.begin(), one.model.end(), one.shown.data()),
           "shared bytes changed");
    }
  }
  void look_at(const entry& one, std::uint32_t word) {
    const Chain& chain = one.chain;
    bytes seen;
    std::size_t pieces = 0;
    chain.for_each_piece([&](std::span<const std::byte> piece) {
      seen.insert(seen.end(), piece.begin(), piece.end());
      ++pieces;
    });
    must(seen == one.model, "other bytes");
    must(chain.size() == one.model.size(), "another size");
    must(chain.piece_count() == pieces, "another number of pieces");
    must(chain.pinned_bytes() >= 64 * (chain.size() != 0), "pins nothing");
    most_pieces_ = std::max(most_pieces_, pieces);
    if (problem_.empty()) {
      look_through_iovecs(one, word % 64, word / 64 % 10);
      look_through_reader(one, word);
    }
  }
  void look_through_iovecs(const entry& one, std::size_t offset, std::size_t room) {
    std::vector<::iovec> vectors(room);
    const std::size_t filled = one.chain.iovecs(vectors, offset);
    must(filled <= room, "more vectors than there are");
    std::size_t at = std::min(offset, one.model.size());
    for (std::size_t i = 0; i < std::min(filled, room); ++i) {
      const auto* const base = static_cast<const std::byte*>(vectors[i].iov_base);
      must(vectors[i].iov_len != 0 && vectors[i].iov_len <= one.model.size() - at, "a bad vector");
      if (!problem_.empty()) {
        return;
      }
      must(std::equal(base, base + vectors[i].iov_len,
                      one.model.begin() + static_cast<std::ptrdiff_t>(at)),
           "other bytes in a vector");
      at += vectors[i].iov_len;
    }
    must(filled == room || at == one.model.size(), "vectors end before the chain");
  }
  void look_through_reader(const entry& one, std::uint32_t word) {
    chain_reader reader(one.chain);
    std::size_t at = 0;
    for (std::uint32_t i = 0; i < 12; ++i, word = word * 1664525 + 1013904223) {
      const std::size_t left = one.model.size() - at;
      const std::uint32_t choice = word >> 24;
      std::uint64_t wide = 0;
      std::uint16_t narrow = 0;
      bytes some(choice % 50);
      switch (choice % 4) {
        case 0: {
          const bool done = reader.read_be(wide);
          at += expect_integer(one, at, done, wide, true);
          break;
        }
        case 1: {
          const bool done = reader.read_le(narrow);
          at += expect_integer(one, at, done, narrow, false);
          break;
        }
        case 2: {
          const bool done = reader.read(some);
          must(done == (some.size() <= left), "a read does not know the end");
          must(!done || std::equal(some.begin(), some.end(), one.model.begin() + signed_of(at)),
               "other bytes read");
          at += done ? some.size() : 0;
          break;
        }
        default: at += reader.skip(choice) ? choice : 0;
      }
      must(reader.position() == at && reader.remaining() == one.model.size() - at, "a lost reader");
    }
  }
  static std::ptrdiff_t signed_of(std::size_t value) { return static_cast<std::ptrdiff_t>(value); }
  template <class Integer>
  std::size_t expect_integer(const entry& one, std::size_t at, bool done, Integer value, bool big) {
    must(done == (sizeof(Integer) <= one.model.size() - at), "an integer does not know the end");
    for (std::size_t i = 0; done && i < sizeof(Integer); ++i) {
      const std::size_t shift = 8 * (big ? sizeof(Integer) - 1 - i : i);
      must(static_cast<std::byte>(value >> shift) == one.model[at + i], "another integer");
    }
    return done ? sizeof(Integer) : 0;
  }

  std::vector<entry> entries_;
  std::vector<kept_buffer> kept_;
  std::uint32_t next_byte_ = 1;
  std::size_t refusals_ = 0;
  std::size_t most_pieces_ = 0;
  std::string problem_;
};

// ---- Seeded bugs --------------------------------------------------------------------------------

struct chain_twin : buffer_chain {
  chain_twin() = default;
  explicit chain_twin(buffer_chain&& one) : buffer_chain(std::move(one)) {}
};

struct trims_one_too_many : chain_twin {
  using chain_twin::chain_twin;
  void trim_back(std::size_t bytes) { buffer_chain::trim_back(bytes > 20 ? bytes + 1 : bytes); }
};

struct writes_into_shared_headroom : chain_twin {
  using chain_twin::chain_twin;
  [[nodiscard]] bool prepend_bytes(pool_ref pool, std::span<const std::byte> bytes) {
    ::iovec first{};
    if (headroom() >= bytes.size() && iovecs({&first, 1}) == 1) {
      std::copy(bytes.begin(), bytes.end(), static_cast<std::byte*>(first.iov_base) - bytes.size());
    }
    return buffer_chain::prepend_bytes(pool, bytes);
  }
};

struct loses_a_byte_where_it_splits : chain_twin {
  using chain_twin::chain_twin;
  [[nodiscard]] buffer_chain split(std::size_t offset) {
    buffer_chain rest = buffer_chain::split(offset);
    rest.trim_front(piece_count() > 1 ? 1 : 0);
    return rest;
  }
};

struct starts_vectors_at_pieces : chain_twin {
  using chain_twin::chain_twin;
  [[nodiscard]] std::size_t iovecs(std::span<::iovec> out, std::size_t offset) const {
    return buffer_chain::iovecs(out, offset < 10 ? 0 : offset);
  }
};

}  // namespace ringpool::test

// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

namespace ringpool::tools {

/// A member of a room on one loop.
struct room_member {
  std::uint32_t table;
  std::uint32_t slot;
};

/// The members that one loop has in each room, by the room's number.
///
/// Invariant: the seat that enter() returned is right until the member that moved into a gap has
///   been told: leave() says which.
/// Thread-safety: one thread.
/// Cost: 8 bytes a member; enter and leave take constant time.
class room_members {
 public:
  /// The position of the new member.
  std::uint32_t enter(std::uint32_t room, const room_member& who) {
    if (room >= rooms_.size()) {
      rooms_.resize(room + 1);
    }
    rooms_[room].push_back(who);
    return static_cast<std::uint32_t>(rooms_[room].size() - 1);
  }
  /// The last member takes the place of the one that leaves: true, and `moved` is that member.
  bool leave(std::uint32_t room, std::uint32_t position, room_member& moved) {
    std::vector<room_member>& members = rooms_[room];
    moved = members.back();
    members[position] = moved;
    members.pop_back();
    const bool gap = position < members.size();
    if (members.empty()) {
      members = {};  // and its memory
    }
    return gap;
  }
  [[nodiscard]] const std::vector<room_member>& of(std::uint32_t room) const {
    static const std::vector<room_member> nobody;
    return room < rooms_.size() ? rooms_[room] : nobody;
  }

 private:
  std::vector<std::vector<room_member>> rooms_;
};

}  // namespace ringpool::tools

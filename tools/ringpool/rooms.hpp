// SPDX-License-Identifier: MIT
#pragma once

//   connection --first frame: the room's name--> enter()
//   connection --frame--> one shared buffer --> queues of the members on this loop
//                                |
//                                '--> inbox of each other loop with members --> their queues

#include <cstdint>
#include <memory>
#include <mutex>
#include <ringpool/account.hpp>
#include <ringpool/multi_size_ring_pool.hpp>
#include <string>
#include <unordered_map>
#include <vector>

namespace ringpool::tools {

class server_loop;

/// Where a connection sits: room and place among its members on this loop. All bits zero: nowhere.
struct room_seat {
  std::uint32_t room = 0;  // number + 1
  std::uint32_t position = 0;
};

/// A frame for the members of a room.
struct room_frame {
  shared_buffer bytes;
  bool with_header;  ///< inside `bytes`; false: those are the payload alone
};

/// A frame for the members of a room on another loop.
struct room_mail {
  std::uint32_t room;
  room_frame frame;
};

/// The rooms of a server: who is in which is each loop's own to know, this says which loops have
/// members, and carries frames between them.
///
/// Invariant: a room's references = its members and its frames in inboxes; without any it is
///   forgotten, and its number may become another's.
/// Progress: blocking: a lock for enter, leave, and what goes to another loop.
/// Thread-safety: any thread.
/// Cost: a lock for each other loop with members, for each frame.
class rooms {
 public:
  static constexpr std::size_t longest_name_bytes = 64;

  /// `budget_bytes`: of frames that wait for the members of one room, each counted for every member
  /// that it waits for; 0: none.
  explicit rooms(unsigned loops, std::uint64_t budget_bytes = 0)
      : budget_bytes_(budget_bytes), inboxes_(loops), loops_(loops, nullptr) {}
  /// Whom to wake when mail comes. Before the loops run.
  void connect(unsigned loop, server_loop& whom) noexcept { loops_[loop] = &whom; }

  /// The room of this name, with one member more on `loop`.
  [[nodiscard]] std::uint32_t enter(const std::string& name, unsigned loop);
  void leave(std::uint32_t room, unsigned loop) noexcept;

  /// Puts `frame` into the inbox of every other loop with members.
  void publish(std::uint32_t room, unsigned from_loop, const room_frame& frame);
  /// What came for `loop`, in the order of each sender; `out` is emptied first. To be followed by
  /// delivered() for each.
  void take_mail(unsigned loop, std::vector<room_mail>& out);
  void delivered(std::uint32_t room) noexcept;
  /// After the last loop has ended: lets go of mail that came after its loop's last look.
  void forget_mail() noexcept;

  [[nodiscard]] std::size_t count() const;
  /// The budget of a room with members; it is there as long as this. nullptr: there is none.
  [[nodiscard]] account* budget_of(std::uint32_t room);
  [[nodiscard]] std::uint64_t charged_bytes() const;

 private:
  struct room {
    std::string name;
    std::vector<std::uint32_t> members;  // by loop
    std::uint32_t references = 0;
  };
  struct inbox {
    std::mutex mutex;
    std::vector<room_mail> mail;
  };

  void release(std::uint32_t room) noexcept;
  [[nodiscard]] bool refer_if_present(std::uint32_t room, unsigned loop) noexcept;

  const std::uint64_t budget_bytes_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<account>> budgets_;  // by number
  std::vector<room> rooms_;
  std::vector<std::uint32_t> unused_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
  std::vector<inbox> inboxes_;
  std::vector<server_loop*> loops_;
};

}  // namespace ringpool::tools

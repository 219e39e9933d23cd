// SPDX-License-Identifier: MIT
#include "fiber.hpp"

#include <cstdint>

// Saves the callee-saved registers on the current stack, stores its pointer to *from, continues on
// `to`: System V AMD64 psABI 3.2.1; Procedure Call Standard for the Arm 64-bit Architecture 6.1.
extern "C" void ringpool_model_switch(void** from, void* to);

#if defined(__x86_64__)
asm(R"(
.text
.type ringpool_model_switch, @function
ringpool_model_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size ringpool_model_switch, .-ringpool_model_switch
.type ringpool_model_enter, @function
ringpool_model_enter:
  movq %r12, %rdi
  callq *%rbx
  ud2
.size ringpool_model_enter, .-ringpool_model_enter
)");
#elif defined(__aarch64__)
asm(R"(
.text
.type ringpool_model_switch, %function
ringpool_model_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size ringpool_model_switch, .-ringpool_model_switch
.type ringpool_model_enter, %function
ringpool_model_enter:
  mov x0, x20
  blr x19
  brk #0
.size ringpool_model_enter, .-ringpool_model_enter
)");
#else
#error "the model checker's fibers know x86-64 and aarch64"
#endif

extern "C" void ringpool_model_enter();

namespace ringpool::model {

fiber::fiber() : stack_(new std::byte[stack_bytes]) {}

void fiber::start(entry call, void* argument) noexcept {
  auto top = reinterpret_cast<std::uintptr_t>(stack_.get() + stack_bytes) & ~std::uintptr_t{15};
#if defined(__x86_64__)
  auto* frame = reinterpret_cast<void**>(top) - 9;  // r15 r14 r13 r12 rbx rbp, return; then aligned
  frame[3] = argument;
  frame[4] = reinterpret_cast<void*>(call);
  frame[6] = reinterpret_cast<void*>(&ringpool_model_enter);
#else
  auto* frame = reinterpret_cast<void**>(top - 160);  // as saved by the switch
  frame[0] = reinterpret_cast<void*>(call);
  frame[1] = argument;
  frame[11] = reinterpret_cast<void*>(&ringpool_model_enter);
#endif
  own_ = frame;
}

void fiber::resume() noexcept { ringpool_model_switch(&caller_, own_); }
void fiber::suspend() noexcept { ringpool_model_switch(&own_, caller_); }

}  // namespace ringpool::model

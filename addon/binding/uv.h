// zone: loop
#pragma once

#include <stddef.h>

// The few functions of libuv that the binding uses. They are declared here because uv.h is not part
// of the Node-API headers: with them alone the addon builds for every Node, without a download.
// All are stable over libuv 1.x; the handle is opaque and its size is asked at run time.
extern "C" {
struct uv_loop_s;
struct uv_poll_s;
struct uv_handle_s;
size_t uv_handle_size(int type);
const char* uv_handle_type_name(int type);
void* uv_handle_get_data(const uv_handle_s* handle);
void uv_handle_set_data(uv_handle_s* handle, void* data);
int uv_poll_init(uv_loop_s* loop, uv_poll_s* handle, int fd);
int uv_poll_start(uv_poll_s* handle, int events, void (*cb)(uv_poll_s*, int status, int events));
int uv_poll_stop(uv_poll_s* handle);
void uv_close(uv_handle_s* handle, void (*cb)(uv_handle_s*));
void uv_ref(uv_handle_s* handle);
void uv_unref(uv_handle_s* handle);
const char* uv_err_name(int error);
const char* uv_strerror(int error);
}

namespace caisson::binding {

constexpr int kUvPollType = 8;  // UV_POLL; checked by name when the addon is loaded.
constexpr int kUvReadable = 1;

}  // namespace caisson::binding

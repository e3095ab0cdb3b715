// zone: loop
#include "binding/js.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binding/uv.h"

namespace caisson::binding {

namespace {

void ThrowAbout(napi_env env, const char* what, const char* must) noexcept {
  char message[160];
  (void)snprintf(message, sizeof message, "%s must be %s", what, must);
  ThrowTypeError(env, message);
}

}  // namespace

Text::~Text() {
  free(text_);
}

napi_valuetype TypeOf(napi_env env, napi_value value) noexcept {
  napi_valuetype type = napi_undefined;
  return value != nullptr && napi_typeof(env, value, &type) == napi_ok ? type : napi_undefined;
}

bool ReadInteger(napi_env env, napi_value value, int64_t least, int64_t most, const char* what,
                 int64_t* number) noexcept {
  double read = NAN;
  if (TypeOf(env, value) == napi_number) (void)napi_get_value_double(env, value, &read);
  // Written so that NaN fails.
  if (!(read >= static_cast<double>(least) && read <= static_cast<double>(most)) ||
      read != static_cast<double>(static_cast<int64_t>(read))) {
    char must[96];
    (void)snprintf(must, sizeof must, "an integer from %lld to %lld", static_cast<long long>(least),
                   static_cast<long long>(most));
    ThrowAbout(env, what, must);
    return false;
  }
  *number = static_cast<int64_t>(read);
  return true;
}

bool ReadFd(napi_env env, napi_value value, const char* what, int* fd) noexcept {
  int64_t number = 0;
  if (!ReadInteger(env, value, 0, INT32_MAX, what, &number)) return false;
  *fd = static_cast<int>(number);
  return true;
}

bool ReadText(napi_env env, napi_value value, const char* what, Text* text) noexcept {
  size_t length = 0;
  if (TypeOf(env, value) != napi_string ||
      napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    ThrowAbout(env, what, "a string");
    return false;
  }
  free(text->text_);
  text->text_ = static_cast<char*>(malloc(length + 1));
  if (text->text_ == nullptr ||
      napi_get_value_string_utf8(env, value, text->text_, length + 1, &length) != napi_ok) {
    ThrowAbout(env, what, "a shorter string");
    return false;
  }
  if (strlen(text->text_) != length) {
    ThrowAbout(env, what, "a string without NUL");
    return false;
  }
  return true;
}

bool ReadBytes(napi_env env, napi_value value, const char* what, Bytes* bytes) noexcept {
  bool is_typed = false;
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  if (value == nullptr || napi_is_typedarray(env, value, &is_typed) != napi_ok || !is_typed ||
      napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    ThrowAbout(env, what, "a Uint8Array");
    return false;
  }
  // A detached or empty array may have any address.
  *bytes = length == 0 || data == nullptr ? Bytes() : Bytes(static_cast<uint8_t*>(data), length);
  return true;
}

bool ReadFunction(napi_env env, napi_value value, const char* what) noexcept {
  if (TypeOf(env, value) == napi_function) return true;
  ThrowAbout(env, what, "a function");
  return false;
}

bool ReadFds(napi_env env, napi_value value, const char* what, FdList* list) noexcept {
  bool is_array = false;
  uint32_t length = 0;
  if (value == nullptr || napi_is_array(env, value, &is_array) != napi_ok || !is_array ||
      napi_get_array_length(env, value, &length) != napi_ok || length > protocol::kMaxFds) {
    ThrowAbout(env, what, "an array of at most 16 descriptors");
    return false;
  }
  for (uint32_t i = 0; i < length; ++i) {
    napi_value item = nullptr;
    if (napi_get_element(env, value, i, &item) != napi_ok) return false;
    if (!ReadFd(env, item, what, &list->fds[i])) return false;
    list->count = i + 1;
  }
  return true;
}

void ThrowTypeError(napi_env env, const char* message) noexcept {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) return;
  (void)napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
}

napi_value MakeErrno(napi_env env, int error, const char* syscall, const char* path) noexcept {
  const char* const code = uv_err_name(-error);
  char text[512];
  if (path == nullptr) {
    (void)snprintf(text, sizeof text, "%s: %s, %s", code, uv_strerror(-error), syscall);
  } else {
    (void)snprintf(text, sizeof text, "%s: %s, %s '%s'", code, uv_strerror(-error), syscall, path);
  }
  napi_value message = nullptr;
  napi_value made = nullptr;
  if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message) != napi_ok ||
      napi_create_error(env, nullptr, message, &made) != napi_ok) {
    return nullptr;
  }
  const struct {
    const char* name;
    const char* value;
  } strings[] = {{"code", code}, {"syscall", syscall}, {"path", path}};
  for (const auto& property : strings) {
    napi_value value = nullptr;
    if (property.value == nullptr) continue;
    if (napi_create_string_utf8(env, property.value, NAPI_AUTO_LENGTH, &value) == napi_ok) {
      (void)napi_set_named_property(env, made, property.name, value);
    }
  }
  (void)SetInteger(env, made, "errno", -error);
  return made;
}

void ThrowErrno(napi_env env, int error, const char* syscall, const char* path) noexcept {
  napi_value const made = MakeErrno(env, error, syscall, path);
  if (made != nullptr) (void)napi_throw(env, made);
}

napi_value Undefined(napi_env env) noexcept {
  napi_value value = nullptr;
  return napi_get_undefined(env, &value) == napi_ok ? value : nullptr;
}

napi_value Null(napi_env env) noexcept {
  napi_value value = nullptr;
  return napi_get_null(env, &value) == napi_ok ? value : nullptr;
}

napi_value NewBuffer(napi_env env, const uint8_t* data, size_t size) noexcept {
  napi_value value = nullptr;
  return napi_create_buffer_copy(env, size, data, nullptr, &value) == napi_ok ? value : nullptr;
}

bool SetInteger(napi_env env, napi_value object, const char* name, int64_t value) noexcept {
  napi_value number = nullptr;
  return napi_create_int64(env, value, &number) == napi_ok &&
         napi_set_named_property(env, object, name, number) == napi_ok;
}

bool SetLength(napi_env env, napi_value function, int arguments) noexcept {
  napi_value length = nullptr;
  if (napi_create_int32(env, arguments, &length) != napi_ok) return false;
  const napi_property_descriptor property = {"length", nullptr, nullptr,           nullptr,
                                             nullptr,  length,  napi_configurable, nullptr};
  return napi_define_properties(env, function, 1, &property) == napi_ok;
}

napi_value NewFunction(napi_env env, const char* name, int arguments,
                       napi_callback callback) noexcept {
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) != napi_ok ||
      !SetLength(env, function, arguments)) {
    return nullptr;
  }
  return function;
}

napi_value DefineClass(napi_env env, const Method& constructor,
                       std::span<const Method> methods) noexcept {
  napi_value made = nullptr;
  napi_value prototype = nullptr;
  if (napi_define_class(env, constructor.name, NAPI_AUTO_LENGTH, constructor.callback, nullptr, 0,
                        nullptr, &made) != napi_ok ||
      !SetLength(env, made, constructor.arguments) ||
      napi_get_named_property(env, made, "prototype", &prototype) != napi_ok) {
    return nullptr;
  }
  for (const Method& method : methods) {
    napi_value const function = NewFunction(env, method.name, method.arguments, method.callback);
    if (function == nullptr) return nullptr;
    const napi_property_descriptor property = {
        method.name, nullptr, nullptr, nullptr, nullptr, function, napi_default_method, nullptr};
    if (napi_define_properties(env, prototype, 1, &property) != napi_ok) return nullptr;
  }
  return made;
}

void CallBack(napi_env env, napi_async_context context, napi_value self, napi_value function,
              size_t count, const napi_value* args) noexcept {
  for (size_t i = 0; i < count; ++i) {
    if (args[i] == nullptr) return;
  }
  if (self == nullptr || function == nullptr) return;
  const napi_status status = napi_make_callback(env, context, self, function, count, args, nullptr);
  if (status == napi_ok) return;
  bool pending = false;
  napi_value thrown = nullptr;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &thrown) == napi_ok) {
    (void)napi_fatal_exception(env, thrown);
  }
}

}  // namespace caisson::binding

// Prints, for each function of PJRT's C API, the size of its arguments in the header and what the
// plugin says when it is called with arguments of size 0, which names the size that it wants:
//
//   sizes PLUGIN.so
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "pjrt_c_api.h"

typedef PJRT_Error* function(void*);

static const PJRT_Api* api;

// A child makes the call, since a plugin may look at the arguments before it checks their size.
static void ask(const char* name, function* f, size_t header) {
  if (!f) return;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    static char arguments[8192];
    PJRT_Error* e = f(arguments);
    PJRT_Error_Message_Args m = {0};
    m.struct_size = PJRT_Error_Message_Args_STRUCT_SIZE;
    m.error = e;
    m.message = "no error";
    m.message_size = 8;
    if (e) api->PJRT_Error_Message(&m);
    printf("%s\t%zu\t%.*s\n", name, header, (int)m.message_size, m.message);
    fflush(stdout);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status) printf("%s\t%zu\tcrash\n", name, header);
}

#define ASK(name)                                         \
  if (offsetof(PJRT_Api, name) < api->struct_size)        \
    ask(#name, (function*)api->name, name##_Args_STRUCT_SIZE);

int main(int argc, char** argv) {
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  api = ((const PJRT_Api* (*)(void))dlsym(library, "GetPjrtApi"))();
  printf("%d.%d\t%d.%d\n", api->pjrt_api_version.major_version,
         api->pjrt_api_version.minor_version, PJRT_API_MAJOR, PJRT_API_MINOR);
#include "asked.inc"
  return 0;
}

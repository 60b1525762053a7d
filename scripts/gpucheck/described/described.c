// A PJRT plugin for a GPU that is described and not there. It passes everything on to a CUDA
// plugin, except that its client compiles for the description, and that nothing can be executed.
// So go-xla compiles through it what it would compile on a GPU: the same programs, with the same
// options.
//
//   DESCRIBED_PLUGIN  path of the CUDA plugin
//   DESCRIBED_TARGET  path of the description, an xla.GpuTargetConfigProto as text
//   DESCRIBED_LOG     path to which each compilation appends a line of JSON
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "pjrt_c_api.h"

#define ARGS(type, name) type name = {0}; name.struct_size = type##_STRUCT_SIZE

static const PJRT_Api* real;                // of the CUDA plugin
static PJRT_Api* pretended;                 // ours
static PJRT_TopologyDescription* topology;  // the described GPU
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

// The client and its device have no contents: only the functions below see them.
static PJRT_Client* const client = (PJRT_Client*)&client;
static PJRT_Device* const device = (PJRT_Device*)&device;

static void die(const char* what, const char* why) {
  fprintf(stderr, "described GPU: %s: %s\n", what, why);
  exit(1);
}

static char* slurp(const char* path) {
  FILE* f = fopen(path, "rb");
  if (!f) die(path, "cannot be read");
  char* text = calloc(1, 1 << 16);
  fread(text, 1, (1 << 16) - 1, f);
  fclose(f);
  return text;
}

static PJRT_NamedValue string_option(const char* name, const char* value) {
  ARGS(PJRT_NamedValue, o);
  o.name = name;
  o.name_size = strlen(name);
  o.type = PJRT_NamedValue_kString;
  o.string_value = value;
  o.value_size = strlen(value);
  return o;
}

static PJRT_Error* create(PJRT_Client_Create_Args* a) {
  PJRT_NamedValue options[] = {
      string_option("target_config", slurp(getenv("DESCRIBED_TARGET"))),
      string_option("topology", "1x1x1"),  // processes, hosts, devices
  };
  ARGS(PJRT_TopologyDescription_Create_Args, t);
  t.topology_name = "";
  t.create_options = options;
  t.num_options = 2;
  PJRT_Error* e = real->PJRT_TopologyDescription_Create(&t);
  topology = t.topology;
  a->client = client;
  return e;
}

static PJRT_Error* compile(PJRT_Client_Compile_Args* a) {
  ARGS(PJRT_Compile_Args, c);
  c.topology = topology;
  c.program = a->program;
  c.compile_options = a->compile_options;
  c.compile_options_size = a->compile_options_size;
  struct timespec start, end;
  pthread_mutex_lock(&one_at_a_time);  // so that each has a time of its own
  clock_gettime(CLOCK_MONOTONIC, &start);
  PJRT_Error* e = real->PJRT_Compile(&c);
  clock_gettime(CLOCK_MONOTONIC, &end);
  ARGS(PJRT_Executable_Name_Args, n);
  ARGS(PJRT_Executable_GetCompiledMemoryStats_Args, m);
  n.executable = m.executable = c.executable;
  if (!e) e = real->PJRT_Executable_Name(&n);
  if (!e) e = real->PJRT_Executable_GetCompiledMemoryStats(&m);
  if (!e) {
    FILE* log = fopen(getenv("DESCRIBED_LOG"), "a");
    if (!log) die(getenv("DESCRIBED_LOG"), "cannot be written");
    fprintf(log,
            "{\"executable\":\"%.*s\",\"seconds\":%.3f,\"arguments\":%lld,\"outputs\":%lld,"
            "\"aliased\":%lld,\"temporary\":%lld,\"code\":%lld}\n",
            (int)n.executable_name_size, n.executable_name,
            end.tv_sec - start.tv_sec + (end.tv_nsec - start.tv_nsec) / 1e9,
            (long long)m.argument_size_in_bytes, (long long)m.output_size_in_bytes,
            (long long)m.alias_size_in_bytes, (long long)m.temp_size_in_bytes,
            (long long)m.generated_code_size_in_bytes);
    fclose(log);
  }
  pthread_mutex_unlock(&one_at_a_time);
  a->executable = (PJRT_LoadedExecutable*)c.executable;  // what go-xla asks of it goes below
  return e;
}

static PJRT_Error* executable(PJRT_LoadedExecutable_GetExecutable_Args* a) {
  a->executable = (PJRT_Executable*)a->loaded_executable;
  return NULL;
}

static PJRT_Error* platform_name(PJRT_Client_PlatformName_Args* a) {
  a->platform_name = "cuda";
  a->platform_name_size = 4;
  return NULL;
}

static PJRT_Error* platform_version(PJRT_Client_PlatformVersion_Args* a) {
  a->platform_version = "described";
  a->platform_version_size = 9;
  return NULL;
}

static PJRT_Error* process_index(PJRT_Client_ProcessIndex_Args* a) {
  a->process_index = 0;
  return NULL;
}

static PJRT_Error* devices(PJRT_Client_AddressableDevices_Args* a) {
  a->addressable_devices = &device;
  a->num_addressable_devices = 1;
  return NULL;
}

static PJRT_Error* hardware_id(PJRT_Device_LocalHardwareId_Args* a) {
  a->local_hardware_id = 0;
  return NULL;
}

// The executable of a loaded one is destroyed by itself.
static PJRT_Error* forget_loaded(PJRT_LoadedExecutable_Destroy_Args* a) { return NULL; }
static PJRT_Error* forget_client(PJRT_Client_Destroy_Args* a) { return NULL; }

const PJRT_Api* GetPjrtApi(void) {
  if (pretended) return pretended;
  void* library = dlopen(getenv("DESCRIBED_PLUGIN"), RTLD_NOW | RTLD_LOCAL);
  if (!library) die("plugin", dlerror());
  const PJRT_Api* (*get)(void) = (const PJRT_Api* (*)(void))dlsym(library, "GetPjrtApi");
  if (!get) die("plugin", dlerror());
  real = get();
  pretended = malloc(real->struct_size);
  memcpy(pretended, real, real->struct_size);
  pretended->PJRT_Client_Create = create;
  pretended->PJRT_Client_Destroy = forget_client;
  pretended->PJRT_Client_Compile = compile;
  pretended->PJRT_Client_PlatformName = platform_name;
  pretended->PJRT_Client_PlatformVersion = platform_version;
  pretended->PJRT_Client_ProcessIndex = process_index;
  pretended->PJRT_Client_AddressableDevices = devices;
  pretended->PJRT_Device_LocalHardwareId = hardware_id;
  pretended->PJRT_LoadedExecutable_GetExecutable = executable;
  pretended->PJRT_LoadedExecutable_Destroy = forget_loaded;
  return pretended;
}

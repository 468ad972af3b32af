/* Stands in for libnvidia-ml.so.1 and librocm_smi64.so: two devices each, the second of which tells its name
 * and nothing else.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SUCCESS = 0, NVML_NOT_SUPPORTED = 3, RSMI_NOT_SUPPORTED = 2 };

static int opened;

/* Calls of an init function without one that shuts down. */
int fake_gpus_opened(void)
{
    return opened;
}

static int name_of(const char *name, char *text, size_t size)
{
    strncpy(text, name, size);
    return SUCCESS;
}

/* NVML */
struct memory {
    unsigned long long total, free, used;
};
struct utilization {
    unsigned gpu, memory;
};
static char devices[2];

int nvmlInit_v2(void)
{
    opened++;
    return SUCCESS;
}

int nvmlShutdown(void)
{
    opened--;
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = 2;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *text, unsigned size)
{
    return name_of(device == &devices[0] ? "Fake N0" : "Fake N1", text, size);
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory *bytes)
{
    if (device != &devices[0])
        return NVML_NOT_SUPPORTED;
    *bytes = (struct memory){ .total = 80000000000ull, .free = 78500000000ull, .used = 1500000000ull };
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, struct utilization *percent)
{
    if (device != &devices[0])
        return NVML_NOT_SUPPORTED;
    *percent = (struct utilization){ .gpu = 37, .memory = 12 };
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
    *milliwatts = 123456;
    return device == &devices[0] ? SUCCESS : NVML_NOT_SUPPORTED;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
    *celsius = 61;
    return device == &devices[0] && sensor == 0 ? SUCCESS : NVML_NOT_SUPPORTED;
}

/* ROCm SMI */
int rsmi_init(uint64_t flags)
{
    (void)flags;
    opened++;
    return SUCCESS;
}

int rsmi_shut_down(void)
{
    opened--;
    return SUCCESS;
}

int rsmi_num_monitor_devices(uint32_t *count)
{
    *count = 2;
    return SUCCESS;
}

int rsmi_dev_name_get(uint32_t index, char *text, size_t size)
{
    return name_of(index == 0 ? "Fake A0" : "Fake A1", text, size);
}

int rsmi_dev_memory_total_get(uint32_t index, int type, uint64_t *bytes)
{
    *bytes = 64000000000ull;
    return index == 0 && type == 0 ? SUCCESS : RSMI_NOT_SUPPORTED;
}

int rsmi_dev_memory_usage_get(uint32_t index, int type, uint64_t *bytes)
{
    *bytes = 2000000000ull;
    return index == 0 && type == 0 ? SUCCESS : RSMI_NOT_SUPPORTED;
}

int rsmi_dev_busy_percent_get(uint32_t index, uint32_t *percent)
{
    *percent = 42;
    return index == 0 ? SUCCESS : RSMI_NOT_SUPPORTED;
}

int rsmi_dev_power_ave_get(uint32_t index, uint32_t sensor, uint64_t *microwatts)
{
    *microwatts = 98765432;
    return index == 0 && sensor == 0 ? SUCCESS : RSMI_NOT_SUPPORTED;
}

/* Without the sensor of the edge, as on accelerators. */
int rsmi_dev_temp_metric_get(uint32_t index, uint32_t sensor, int metric, int64_t *millidegrees)
{
    *millidegrees = 71500;
    return index == 0 && sensor == 1 && metric == 0 ? SUCCESS : RSMI_NOT_SUPPORTED;
}

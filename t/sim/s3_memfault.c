/*
 * What goes wrong in the world in memory, and when.
 */

#include <stdlib.h>

#include "s3_memfs_impl.h"


s3_fault_t
s3_sim_io(s3_sim_t *sim, unsigned drive)
{
    unsigned i;
    uint64_t io;

    if (sim->stopped) {
        return S3_FAULT_STOP;
    }

    io = sim->ios++;

    for (i = 0; i < sim->n_at; i++) {
        if (sim->at[i].io == io) {
            sim->stopped = sim->at[i].fault == S3_FAULT_STOP;
            return sim->at[i].fault;
        }
    }

    for (i = 0; i < sim->n_rate; i++) {
        if (sim->rate[i].per_million
            && (sim->rate[i].drive == -1 || sim->rate[i].drive == (int) drive)
            && s3_sim_random(sim, 1000000) < sim->rate[i].per_million)
        {
            return sim->rate[i].fault;
        }
    }

    return S3_FAULT_NONE;
}


uint64_t
s3_sim_ios(const s3_sim_t *sim)
{
    return sim->ios;
}


void
s3_sim_fault_at(s3_sim_t *sim, uint64_t io, s3_fault_t fault)
{
    unsigned i;

    /* a place that is used up, or a new one */
    for (i = 0; i < sim->n_at && sim->at[i].io >= sim->ios; i++) {
        /* void */
    }

    if (i == S3_SIM_FAULTS) {
        abort();
    }

    sim->at[i].io = io;
    sim->at[i].fault = fault;

    if (i == sim->n_at) {
        sim->n_at++;
    }
}


void
s3_sim_fault_rate(s3_sim_t *sim, int drive, s3_fault_t fault,
                  unsigned per_million)
{
    unsigned i;

    for (i = 0; i < sim->n_rate; i++) {
        if (sim->rate[i].drive == drive && sim->rate[i].fault == fault) {
            break;
        }
    }

    if (i == S3_SIM_FAULTS) {
        abort();
    }

    sim->rate[i].drive = drive;
    sim->rate[i].fault = fault;
    sim->rate[i].per_million = per_million;

    if (i == sim->n_rate) {
        sim->n_rate++;
    }
}


void
s3_sim_fault_clear(s3_sim_t *sim)
{
    sim->n_at = 0;
    sim->n_rate = 0;
}


int
s3_sim_stopped(const s3_sim_t *sim)
{
    return sim->stopped;
}


void
s3_sim_resume(s3_sim_t *sim)
{
    sim->stopped = 0;
}

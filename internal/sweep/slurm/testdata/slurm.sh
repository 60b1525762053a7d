#!/bin/sh
# One task of an array of jobs: it executes the run of SLURM_ARRAY_TASK_ID, from 0, in runs.jsonl.
# slurm.json has the command that submitted the array.
case $SLURM_ARRAY_TASK_ID in
0) name='gd-lr0.05-0123456789' ;;
1) name='what'\''s $this-0123456789' ;;
*) echo "task $SLURM_ARRAY_TASK_ID is not in the list" >&2; exit 2 ;;
esac
cd '/home/me' || exit
exec >>'/nfs/my sweeps/1/logs'/"$name.log" 2>&1 || exit
rm -f '/nfs/my sweeps/1/logs'/"$name.exit"
task=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
echo "slurm: task $task on $SLURMD_NODENAME, $(date), restart ${SLURM_RESTART_COUNT:-0}"

# As many threads as the task has processors.
if [ -n "$SLURM_CPUS_ON_NODE" ]; then
	export NPROC="${NPROC:-$SLURM_CPUS_ON_NODE}" GOMAXPROCS="${GOMAXPROCS:-$SLURM_CPUS_ON_NODE}"
fi

# At USR1, 120 seconds before the time limit, or at TERM, the run saves and ends with
# status 75. It gets USR1 in both cases: scancel sends TERM to the run itself too, and a
# second TERM would kill it.
pass() { told=$1; passed=yes; kill -USR1 "$run" 2>/dev/null; }
told= passed=no run=
trap 'pass USR1' USR1
trap 'pass TERM' TERM
'/opt/it'\''s/cifar' '-offline' '-config=/nfs/my sweeps/1/runs.jsonl' -task=auto &
run=$!
[ -z "$told" ] || pass "$told"
wait $run
status=$?
while [ "$passed" = yes ]; do # the signal has ended the wait: 127 if the run had ended before
	passed=no
	wait $run
	again=$?
	[ $again -eq 127 ] || status=$again
done
[ $status -le 128 ] || echo "slurm: the run was killed by signal $((status - 128))"

# Only this task, and only after USR1: a task that scancel ended by TERM stays ended. A run that was
# killed had not begun, or did not save in time.
if [ "$told" = USR1 ] && { [ $status -eq 75 ] || [ $status -gt 128 ]; }; then
	scontrol requeue "$task"
fi
echo $status >'/nfs/my sweeps/1/logs'/"$name.exit"
exit $status

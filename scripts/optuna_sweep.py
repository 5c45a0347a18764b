#!/usr/bin/env python3
"""Searches settings with Optuna: it asks for points in batches, and one `adamtrain sweep --points -` trains each batch as lanes.

    python3 scripts/optuna_sweep.py --storage sqlite:///study.db --trials 1000 --space 'lr=log(1e-4,1e-1)' \\
        --space 'hidden=none|100|300,100' -- --dataset mnist --epochs 10 --valid-fraction 0.1

The same command again goes on with the study; started twice, here or on two machines, it is two workers. What a worker that was killed
leaves is failed by the next or by the others, and its settings are tried again. Needs optuna 4.9 or later and the storage's driver.
The program is $ADAMTRAIN, else `adamtrain` on the PATH.
"""
import argparse, contextlib, json, math, os, re, shlex, shutil, signal, subprocess, sys, threading, time, warnings


def fail(message, hint, code=1):
    sys.stderr.write(f"error: {message}\n  hint: {hint}\n")
    sys.exit(code)


try:
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState
    from sqlalchemy.exc import SQLAlchemyError
    warnings.filterwarnings("ignore", ".*experimental|Heartbeat of storage")  # the latter is for Study.optimize: see `beat`
    TRY_AGAIN = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3)  # settings that kill their worker: not for ever
except (ImportError, AttributeError) as error:
    fail(f"Optuna 4.9 or later is missing: {error}", "pip install --upgrade optuna")
STORAGE_ERRORS = (optuna.exceptions.StorageInternalError, SQLAlchemyError, ImportError)
PROGRAM = os.environ.get("ADAMTRAIN", "adamtrain")


def setting(text):
    """Key and distribution of `lr=log(1e-4,1e-1)` or `hidden=none|300,100`."""
    key, _, values = text.partition("=")
    try:
        if match := re.fullmatch(r"(log|uniform|logint|int)\(([^,()]+),([^,()]+)\)", values):
            number, distribution = (int, IntDistribution) if "int" in match[1] else (float, FloatDistribution)
            return key, distribution(number(match[2]), number(match[3]), log="log" in match[1])
        if key and "(" not in values and all(values.split("|")):
            return key, CategoricalDistribution(values.split("|"))
        raise ValueError("expected KEY=log(a,b), uniform(a,b), int(a,b), logint(a,b) or a|b|c")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"`{text}`: {error}") from None


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", metavar="URL", help="sqlite:///FILE, postgresql+psycopg://USER@HOST/DB … [default: memory]")
    parser.add_argument("--study", metavar="NAME", default="adamtrain", help="[default: %(default)s]")
    parser.add_argument("--trials", metavar="N", type=int, required=True, help="how many the study has in the end, no matter whose")
    parser.add_argument("--batch", metavar="N", type=int, default=64, help="points that train together [default: %(default)s]")
    parser.add_argument("--space", metavar="KEY=VALUES", type=setting, action="append",
                        help="log(a,b), uniform(a,b), int(a,b), logint(a,b) or a|b|c; repeatable [default: lr=log(1e-4,1e-1)]")
    parser.add_argument("--measure", choices=["valid_accuracy", "valid_loss"], default="valid_accuracy", help="[default: %(default)s]")
    parser.add_argument("--no-pruning", action="store_true", help="train every point to its end, and report that end alone")
    parser.add_argument("--heartbeat", metavar="SECONDS", type=int, default=60, help="a worker silent for two is dead [default: 60]")
    parser.add_argument("flags", nargs="*", metavar="-- FLAGS", help="of `adamtrain sweep`, such as --dataset mnist --valid-fraction 0.1")
    args = parser.parse_args()
    if min(args.trials, args.batch, args.heartbeat) < 1:
        parser.error("--trials, --batch and --heartbeat: expected whole numbers >= 1")
    args.space = dict(args.space or [setting("lr=log(1e-4,1e-1)")])
    return args


def open_study(args):
    """Creates the study or joins it."""
    direction = "minimize" if args.measure == "valid_loss" else "maximize"
    for patience in (1, 1, 0):  # workers that begin at once make the tables of an empty database at once
        try:
            storage = args.storage and optuna.storages.RDBStorage(args.storage, {"pool_pre_ping": True}, heartbeat_interval=args.heartbeat,
                                                                  heartbeat_stale_trial_callback=TRY_AGAIN)
            break
        except STORAGE_ERRORS:
            if not patience:
                raise
            time.sleep(patience)
    sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True)  # the liar keeps points of a batch apart
    study = optuna.create_study(storage=storage, sampler=sampler, study_name=args.study, direction=direction, load_if_exists=True)
    shape = lambda distribution: (type(distribution), getattr(distribution, "log", None), getattr(distribution, "choices", None))
    others = [f"another space for `{key}`" for trial in study.get_trials(deepcopy=False) for key, old in trial.distributions.items()
              if key in args.space and shape(old) != shape(args.space[key])]
    if others or study.direction.name.lower() != direction:
        fail(f"study `{args.study}` has {[*others, 'another measure'][0]}", "--study NAME begins a new one", 2)
    return study, storage


def counts(trial):
    """Whether a trial is one of those asked for; one that failed by no fault of its settings is not."""
    return trial.state != TrialState.FAIL or "reason" in trial.user_attrs


class Worker:
    """One process of adamtrain and the trials that it trains."""

    def __init__(self, args):
        self.args, self.process = args, None
        self.running, self.twins, self.known = {}, {}, set()  # trials and their twins, by number; numbers of other workers'
        self.study, self.storage = open_study(args)
        if self.storage:
            threading.Thread(target=self.beat, daemon=True).start()

    def beat(self):
        """Tells the storage that the trials are alive. `Study.optimize` would do so; ask and tell do not."""
        while True:
            for trial in list(self.running.values()):
                with contextlib.suppress(*STORAGE_ERRORS):  # the main thread meets them too
                    self.storage.record_heartbeat(trial._trial_id)
            time.sleep(self.args.heartbeat)

    def fail_the_dead(self):
        """Fails trials of workers that are silent; their settings wait to be asked for again."""
        optuna.storages.fail_stale_trials(self.study)
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            if trial.number not in self.known:
                # Its worker may have died before the first beat, and without one it would be alive for ever.
                self.storage.record_heartbeat(trial._trial_id)
                self.known.add(trial.number)

    def run(self):
        """Trains batch after batch. One is asked when the last has ended: it begins together, fills all lanes, and is asked knowing all."""
        while True:
            self.fail_the_dead()
            trials = self.study.get_trials(deepcopy=False)
            ended = sum(trial.state.is_finished() and counts(trial) for trial in trials)
            if ended >= self.args.trials:
                return
            self.ask(trials)
            if not self.running:  # the last ones are with other workers, which may yet die
                time.sleep(min(self.args.heartbeat, 5))
                continue
            points, refused = len(self.running), []
            while self.running:
                event = json.loads(self.process.stdout.readline() or self.has_ended())
                if event["event"] == "error":
                    refused.append(event)
                self.hear(event, self.running.get(event.get("id")))
            if len(refused) == points:
                fail(f"no point is taken: {refused[0]['message']}", refused[0]["hint"] or "see `adamtrain sweep --help`", 2)
            print(f"{ended + points} of {self.args.trials} trials", file=sys.stderr)

    def ask(self, trials):
        """Begins as many trials as a batch has and the study lacks."""
        lost = [trial.number for trial in trials if not counts(trial)]
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        for _ in range(min(self.args.batch, self.args.trials - (len(trials) - len(lost) - waiting))):
            trial = self.study.ask(self.args.space)
            if trial.number - sum(number < trial.number for number in lost) >= self.args.trials:
                self.study.tell(trial, state=TrialState.FAIL)  # others have asked for the last ones in between
                break
            self.running[trial.number] = trial
        if self.running and not self.args.no_pruning:
            # Who is to be pruned is asked of a copy in memory: a storage reads all running trials anew at each question, 64 in 30 ms.
            copy = optuna.create_study(direction=self.study.direction, sampler=optuna.samplers.RandomSampler())
            copy.add_trials(trial for trial in trials if trial.state == TrialState.COMPLETE)
            self.twins = {number: copy.ask() for number in self.running}
        if self.running and not self.process:
            command = [PROGRAM, "sweep", "--points", "-", "--json", "-q", *self.args.flags]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.say({"id": number, **trial.params} for number, trial in self.running.items())

    def say(self, lines):
        if text := "".join(json.dumps(line) + "\n" for line in lines):
            with contextlib.suppress(BrokenPipeError):  # that it has ended is seen where it is heard
                self.process.stdin.write(text)
                self.process.stdin.flush()

    def hear(self, event, trial):
        """Hands an event on to the study: the value of an epoch, or how a point has ended."""
        if not trial:
            return
        value, status, twin = event.get(self.args.measure), event.get("status"), self.twins.get(trial.number)
        if self.args.measure not in event and (event.get("test_loss") is not None or status == "finished"):
            fail(f"there is no `{self.args.measure}`", "hold images out for validation: -- --valid-fraction 0.1", 2)
        try:
            if event["event"] == "epoch" and twin and self.args.measure in event:  # epochs between two evaluations have none
                value = math.nan if value is None else value
                twin.report(value, event["epoch"])
                if twin.should_prune():
                    self.say([{"stop": trial.number}])
                    del self.twins[trial.number]
                trial.report(value, event["epoch"])
            elif event["event"] in ("point", "error"):
                if status == "pruned":
                    self.study.tell(trial, state=TrialState.PRUNED)
                elif status in ("finished", "early_stopped") and value is not None:
                    self.study.tell(trial, value)
                    if twin:
                        twin.study.tell(twin, value)
                else:
                    trial.set_user_attr("reason", event.get("message") or event["reason"] or status)
                    self.study.tell(trial, state=TrialState.FAIL)
                del self.running[trial.number]
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
            # Silent for too long, this worker was taken for dead, and another one has the trial.
            self.say([{"stop": trial.number}])
            del self.running[trial.number]

    def has_ended(self):
        code = self.process.wait()
        fail(f"`{PROGRAM} sweep` ended with {code}", "what it has to say stands above", max(code, 1))

    def end(self):
        """Ends the process. Trials that have not ended wait for another worker."""
        if self.process:
            if self.running:
                self.process.terminate()
            with contextlib.suppress(BrokenPipeError):
                self.process.communicate()
            if not self.running and self.process.returncode not in (0, 8):  # 8: every point has diverged
                self.has_ended()
        for trial in self.running.values():
            with contextlib.suppress(*STORAGE_ERRORS, ValueError):  # the storage is gone; another worker was faster
                self.study.tell(trial, state=TrialState.FAIL)
                TRY_AGAIN(self.study, self.study.get_trials(deepcopy=False)[trial.number])


def command_of(params, flags):
    """The command that trains a point alone."""
    flags, command = iter(flags), [PROGRAM]
    for flag in flags:
        if re.fullmatch(r"--(out|lanes|checkpoints)", flag):
            next(flags, None)
        elif not re.match(r"--(out|lanes|checkpoints)=|--resume$", flag):
            command.append(flag)
    return shlex.join(command + [f"--set={key}={value}" if "." in key else f"--{key}={value}" for key, value in params.items()])


def main():
    args = arguments()
    if not shutil.which(PROGRAM):
        fail(f"`{PROGRAM}` is not found", "put adamtrain on the PATH, or name it: ADAMTRAIN=path/to/adamtrain")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        worker = Worker(args)
        try:
            worker.run()
        finally:
            worker.end()
        complete = worker.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if not complete:
            fail("no trial has come to its end", "the trials' attribute `reason` says why: `optuna trials`")
        best = worker.study.best_trial
        print(f"{args.measure} {best.value} of trial {best.number}: {json.dumps(best.params)}\n{command_of(best.params, args.flags)}")
    except STORAGE_ERRORS as error:
        fail(f"the storage fails: {str(error.__cause__ or error).splitlines()[0]}", "is its server there, and its driver installed?")


if __name__ == "__main__":
    main()

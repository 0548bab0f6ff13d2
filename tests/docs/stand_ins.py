"""`mosquitto_pub` for machines where it is not installed: the options that the README uses, over paho, for real."""

import argparse

from paho.mqtt import publish


def mosquitto_pub(arguments=None):
    parser = argparse.ArgumentParser(add_help=False)
    for option in ("-h", "-t", "-m"):
        parser.add_argument(option, required=True)
    for option in ("-p", "-q"):
        parser.add_argument(option, required=True, type=int)
    given = parser.parse_args(arguments)
    publish.single(given.t, given.m, given.q, hostname=given.h, port=given.p)


if __name__ == "__main__":
    mosquitto_pub()

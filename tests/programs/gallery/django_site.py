"""Django's development server with a database on disk, called by urllib: a model, an upload, a page that is missing."""

import json
import sys
import tempfile
import urllib.error
import urllib.request

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpResponse, JsonResponse
from django.urls import path

LIBRARIES = ("django",)
LONG = True
DATA = bytes(range(256)) * 450


def reverse(request):
    return HttpResponse(request.body[::-1])


def users(request):
    from django.contrib.auth.models import User

    User.objects.create_user(request.GET["name"])
    return JsonResponse({"users": list(User.objects.order_by("id").values_list("username", flat=True))})


urlpatterns = [path("reverse", reverse), path("users", users)]


def serve(port):
    settings.configure(
        ROOT_URLCONF=sys.modules[__name__],
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="known",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tempfile.mkdtemp() + "/site.db"}},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
        MIDDLEWARE=[],
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("runserver", f"0.0.0.0:{port}", use_reloader=False, skip_checks=True)


def ask(base):
    with urllib.request.urlopen(f"{base}/reverse", DATA, timeout=60) as answer:
        assert answer.read() == DATA[::-1]
    for name in ("ann", "bob"):
        with urllib.request.urlopen(f"{base}/users?name={name}", timeout=60) as answer:
            known = json.load(answer)["users"]
    assert known == ["ann", "bob"]
    try:
        urllib.request.urlopen(f"{base}/missing", timeout=60)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def scenario(world):
    server, client = world.host("server"), world.host("client")
    server.run(serve, 8000)
    world.sleep(1)
    assert client.run(ask, "http://server:8000").result(timeout=300) == 404
